//! What lands while the webhook is up and while it is down, in each mode: twenty writes beyond a limit and their twenty
//! twins within, each by a person and by automation. What landed is read from the objects afterwards.

mod ground;
mod writes;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, anyhow, ensure};

use self::ground::{Actor, Ground, Mode, State, Try};
use self::writes::{Write, all};

/// What became of one write.
#[derive(Debug, Clone)]
struct Fate {
    landed: bool,
    text: String,
}

/// What became of each write of a cell, by the name of its object.
type Cell = BTreeMap<String, Fate>;

#[test]
fn what_lands_in_an_outage_is_what_its_mode_says_and_nothing_of_automation() -> Result<()> {
    let writes = all();
    ensure!(writes.len() == 20, "{} writes", writes.len());
    let tries = tries(&writes);
    let ground = Ground::new()?;
    let mut cells = Vec::new();
    let mut mistakes = Vec::new();
    for mode in Mode::ALL {
        ground.set_mode(mode)?;
        for state in State::ALL {
            let namespace = ground.namespace(mode, state, &tries)?;
            ground.policies_rule((mode, state), &namespace, &tries)?;
            ground.break_down(state)?;
            let cell = run(&ground, state, &namespace, &tries)?;
            ground.bring_back(state)?;
            let words = cells.first().map(|(_, _, cell)| cell);
            mistakes.extend(judge(mode, state, &cell, words, &tries));
            cells.push((mode, state, cell));
        }
    }
    let table = render(&writes, &cells);
    let written = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outage_table.md");
    fs::write(&written, &table)?;
    ensure!(mistakes.is_empty(), "{} writes fared otherwise: {mistakes:#?}", mistakes.len());
    let told = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/outage_table.md");
    let told = fs::read_to_string(&told).unwrap_or_default();
    ensure!(told == table, "docs/outage_table.md is stale: copy {}", written.display());
    ground.cluster.stop()
}

fn tries(writes: &[Write]) -> Vec<Try<'_>> {
    let mut tries = Vec::new();
    for (index, write) in writes.iter().enumerate() {
        for actor in Actor::ALL {
            for is_beyond in [true, false] {
                tries.push(Try { number: index + 1, write, actor, is_beyond });
            }
        }
    }
    tries
}

/// Sends every write of a cell and looks what landed.
fn run(ground: &Ground, state: State, namespace: &str, tries: &[Try<'_>]) -> Result<Cell> {
    // All at once where each waits for its time to be up; otherwise no more than the machine can do.
    let workers = if state == State::Frozen { tries.len() } else { 6 };
    let (next, sent) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(each) = tries.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = ground.send(each, namespace, false);
                    if let Ok(mut sent) = sent.lock() {
                        sent.push((*each, outcome));
                    }
                }
            });
        }
    });
    let sent = sent.into_inner().map_err(|_| anyhow!("a thread that sent writes has died"))?;
    let objects = ground.objects(namespace)?;
    let mut cell = Cell::new();
    for (each, outcome) in sent {
        let (name, outcome) = (each.name(), outcome?);
        let object = objects.iter().find(|object| object["metadata"]["name"] == *name);
        let stored = object.and_then(|object| object.pointer(each.write.lands));
        let landed = stored == Some(each.value());
        let text = outcome.text();
        ensure!(landed == outcome.succeeded, "{name}: stored is {stored:?}, but kubectl: {text}");
        cell.insert(name, Fate { landed, text: text.replace(namespace, "NAMESPACE") });
    }
    Ok(cell)
}

/// What should become of a write.
const fn lands(mode: Mode, state: State, each: &Try<'_>) -> bool {
    match (state, each.actor, mode) {
        (State::Up, ..) | (_, Actor::Person, Mode::Backstop) => !each.is_beyond,
        (_, Actor::Automation, _) | (_, Actor::Person, Mode::Fail) => false,
        (_, Actor::Person, Mode::Ignore) => true,
    }
}

/// What fared otherwise than it should. `words` is the first cell, in which the webhook itself speaks to everybody.
fn judge(
    mode: Mode,
    state: State,
    cell: &Cell,
    words: Option<&Cell>,
    tries: &[Try<'_>],
) -> Vec<String> {
    let mut mistakes = Vec::new();
    for each in tries {
        let name = each.name();
        let Some(fate) = cell.get(&name) else { continue };
        let mut wrong = |why: &str| {
            let (mode, state, what) = (mode.name(), state.name(), each.write.what);
            mistakes.push(format!("{mode}/{state} {name} ({what}): {why}: {}", fate.text));
        };
        if fate.landed != lands(mode, state, each) {
            wrong(if fate.landed { "it landed" } else { "it did not land" });
            continue;
        }
        let is_told = state.failures().iter().any(|words| fate.text.contains(words));
        if each.actor == Actor::Automation && !fate.landed && !is_told {
            wrong(&format!("refused otherwise than by {:?}", state.failures()));
        }
        let is_guarded =
            state == State::Up || (mode == Mode::Backstop && each.actor == Actor::Person);
        if fate.landed || !is_guarded {
            continue;
        }
        if fate.text.matches("SmartOps denies").count() != 1 {
            wrong("not one denial");
        }
        let told = words.and_then(|cell| cell.get(&name)).map(|fate| sentence(&fate.text));
        if told.is_some_and(|told| told != sentence(&fate.text)) {
            wrong(&format!("other words than the webhook's, which are {told:?}"));
        }
    }
    mistakes
}

/// A denial without what kubectl and the API server put before it.
fn sentence(text: &str) -> &str {
    text.find("SmartOps denies").and_then(|start| text.get(start..)).unwrap_or(text)
}

const HEAD: &str = "\
# What lands in an outage

Twenty writes beyond a limit and their twenty twins within, each by a person and by automation, on a real control plane. The
webhook is up, killed (SIGKILL), frozen (SIGSTOP, past the API server's time-out), or answers with a certificate that is not for
its address. Each cell tells what became of the write *beyond the limit / within it*, read from the object afterwards.

Generated by the end-to-end test `what_lands_in_an_outage_is_what_its_mode_says_and_nothing_of_automation`, which fails when a
cell changes. What the modes mean: [outage.md](outage.md).
";

/// The whole page.
fn render(writes: &[Write], cells: &[(Mode, State, Cell)]) -> String {
    let mut page = HEAD.to_owned();
    for mode in Mode::ALL {
        _ = write!(page, "\n## {}\n\n| write |", mode.name());
        for actor in Actor::ALL {
            for state in State::ALL {
                _ = write!(page, " {}, {} |", actor.name(), state.name().replace('-', " "));
            }
        }
        _ = writeln!(page, "\n| --- |{}", " --- |".repeat(Actor::ALL.len() * State::ALL.len()));
        for (index, write) in writes.iter().enumerate() {
            _ = write!(page, "| {} |", write.what);
            for actor in Actor::ALL {
                for state in State::ALL {
                    let fate = |is_beyond| {
                        let name = Try { number: index + 1, write, actor, is_beyond }.name();
                        let mut found = cells.iter().filter(|(m, s, _)| *m == mode && *s == state);
                        let fate = found.next().and_then(|(_, _, cell)| cell.get(&name));
                        fate.map_or("?", |fate| if fate.landed { "landed" } else { "refused" })
                    };
                    _ = write!(page, " {} / {} |", fate(true), fate(false));
                }
            }
            _ = writeln!(page);
        }
    }
    page
}
