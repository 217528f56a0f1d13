//! Files as documents: JSON or YAML, one or many in each, lists taken apart.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The largest file read, in bytes.
const LARGEST: u64 = 64 * 1024 * 1024;

/// One object of a file.
#[derive(Debug, Clone)]
pub(super) struct Document {
    /// The file, with the object's place in it where there are several.
    pub(super) source: String,
    /// The object.
    pub(super) value: Value,
}

/// Every document of every file; what cannot be read is added to `problems`.
pub(super) fn read_all(paths: &[PathBuf], problems: &mut Vec<String>) -> Vec<Document> {
    let mut documents = Vec::new();
    for path in paths {
        let files = match files(path) {
            Ok(files) => files,
            Err(error) => {
                problems.push(format!("{} cannot be read: {error}", path.display()));
                continue;
            }
        };
        for file in files {
            let source = file.display().to_string();
            match text(&file).map_err(|e| e.to_string()).and_then(|text| parse(&text)) {
                Ok(values) => documents.extend(labelled(&source, values)),
                Err(error) => problems.push(format!("{source} cannot be read: {error}")),
            }
        }
    }
    documents
}

/// A file itself, or those of a folder by name.
fn files(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let is_ours = |path: &PathBuf| {
        let extension = path.extension().and_then(|e| e.to_str());
        extension.is_some_and(|e| ["json", "yaml", "yml"].contains(&e))
    };
    let entries = std::fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path()));
    let mut files: Vec<PathBuf> = entries.collect::<Result<_, _>>()?;
    files.retain(is_ours);
    files.sort();
    Ok(files)
}

fn text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().lock().take(LARGEST).read_to_string(&mut text)?;
    } else {
        std::fs::File::open(path)?.take(LARGEST).read_to_string(&mut text)?;
    }
    Ok(text)
}

/// The documents of a text. JSON is read as JSON, whose numbers stay as they are.
fn parse(text: &str) -> Result<Vec<Value>, String> {
    let documents: Vec<Value> = if text.trim_start().starts_with(['{', '[']) {
        let stream = serde_json::Deserializer::from_str(text).into_iter();
        stream.collect::<Result<_, _>>().map_err(|error| error.to_string())?
    } else {
        serde_saphyr::from_multiple(text).map_err(|error| error.to_string())?
    };
    Ok(documents.into_iter().flat_map(apart).filter(|value| !value.is_null()).collect())
}

/// The objects of an array or of a List; anything else as it is.
fn apart(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values.into_iter().flat_map(apart).collect(),
        Value::Object(mut object) => {
            let is_list =
                object.get("kind").and_then(Value::as_str).is_some_and(|k| k.ends_with("List"));
            match object.remove("items") {
                Some(items) if is_list => apart(items),
                Some(items) => {
                    object.insert("items".to_owned(), items);
                    vec![Value::Object(object)]
                }
                None => vec![Value::Object(object)],
            }
        }
        other => vec![other],
    }
}

fn labelled(source: &str, values: Vec<Value>) -> Vec<Document> {
    let many = values.len() > 1;
    let label = |place: usize| if many { format!("{source}[{place}]") } else { source.to_owned() };
    values
        .into_iter()
        .enumerate()
        .map(|(place, value)| Document { source: label(place), value })
        .collect()
}
