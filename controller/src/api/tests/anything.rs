//! Anything a client may come up with: bodies made by breaking the document's own examples, paths and queries filled with
//! what there is and with nonsense, and headers to go with them.
//! Whatever comes back is documented, a refusal says what to do, and nothing is a defect of the server.

use smartops_common::action::Action;

use super::world::{End, Server};
use super::*;
use crate::fixture::remediation;

/// One there is.
const REMEDIATION: &str = "smartops-erp-simulator-0123456789abcdef";
/// Requests made to each route.
const EACH: usize = 200;

/// Numbers that only look random: a failure is the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        // Knuth's constants; the high bits are the better ones.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn value(&mut self) -> Value {
        let values = [
            json!(null),
            json!(true),
            json!(-1),
            json!(0),
            json!(1),
            json!(2.5),
            json!(1e300),
            json!(u64::MAX),
            json!(""),
            json!("x"),
            json!("é".repeat(254)),
            json!("../.."),
            json!("a/b?c"),
            json!("\u{0}"),
            json!([]),
            json!([{}]),
            json!([[1]]),
            json!({}),
            json!({"a": {"b": []}}),
            json!({"patch": {"patch": {}}}),
            json!({"op": "replace", "path": "/spec", "value": 1}),
            json!({"op": "test", "path": "nonsense"}),
            json!("firing"),
            json!("Deployment"),
        ];
        values[self.below(values.len())].clone()
    }

    /// Breaks a value somewhere.
    fn broken(&mut self, value: &mut Value) {
        match value {
            Value::Object(map) if !map.is_empty() && self.below(4) > 0 => {
                let names: Vec<String> = map.keys().cloned().collect();
                let name = names[self.below(names.len())].clone();
                match self.below(4) {
                    0 => {
                        map.remove(&name);
                    }
                    1 => {
                        map.insert(format!("{name}x"), self.value());
                    }
                    _ => self.broken(&mut map[&name]),
                }
            }
            Value::Array(list) if !list.is_empty() && self.below(4) > 0 => {
                let place = self.below(list.len());
                match self.below(3) {
                    0 => list.push(list[place].clone()),
                    _ => self.broken(&mut list[place]),
                }
            }
            other => *other = self.value(),
        }
    }

    fn body(&mut self, example: &Value) -> String {
        let mut body = example.clone();
        for _ in 0..self.below(4) {
            self.broken(&mut body);
        }
        let mut text = body.to_string();
        if self.below(10) == 0 {
            let cut = self.below(text.len() + 1);
            text = text.chars().take(cut).collect();
        }
        text
    }

    /// A path with its parameters filled in, by what there is and by nonsense, encoded or not.
    fn path(&mut self, path: &str) -> String {
        let names = [
            "smartops-dev",
            REMEDIATION,
            "smartops-dev",
            REMEDIATION,
            "nowhere",
            "watch",
            "UPPER",
            "x y",
            ".",
            "..",
            "%2e%2e",
            "a%2fstatus",
            "%00",
            "%ff",
            "%",
            "%zz",
            "%C3%A9",
            "a;b",
            "a:b",
            "~",
            "-",
        ];
        let filled = path.split('/').map(|part| match part {
            "{namespace}" if self.below(2) == 0 => "smartops-dev".to_owned(),
            "{name}" if self.below(2) == 0 => REMEDIATION.to_owned(),
            part if part.starts_with('{') => {
                let name = names[self.below(names.len())].replace(' ', "%20");
                if self.below(20) == 0 { name.repeat(200) } else { name }
            }
            part => part.to_owned(),
        });
        filled.collect::<Vec<_>>().join("/")
    }

    /// A query of these parameters, mostly: meant, broken, twice, or none of the document's.
    fn query(&mut self, parameters: &[&str]) -> String {
        let values = [
            "smartops-dev",
            "true",
            "false",
            "Pending",
            "Failed,Skipped",
            "Failed,done",
            "restart",
            "0",
            "1",
            "500",
            "501",
            "-1",
            "99999999999999999999",
            "",
            "%",
            "%00",
            "%ff",
            "%C3%A9",
            "a%26b",
            "1772366400_uid-0",
            "1772366400",
            "99999999999999_x",
            "_",
            "api%2Frestart",
            "+",
            "[]",
        ];
        let mut terms = Vec::new();
        for _ in 0..self.below(4) {
            let name = match self.below(10) {
                0 => "nonsense",
                1 => "",
                _ => parameters[self.below(parameters.len())],
            };
            let value = values[self.below(values.len())];
            terms.push(if self.below(15) == 0 {
                name.to_owned()
            } else {
                format!("{name}={value}")
            });
        }
        if terms.is_empty() { String::new() } else { format!("?{}", terms.join("&")) }
    }

    fn headers(&mut self) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        match self.below(12) {
            0 => {}
            1 => headers.push(("authorization", "Bearer good".to_owned())),
            2 => headers.push(("x-api-key", "narrow".to_owned())),
            3 => headers.push(("x-smartops-signature", "sha256=00".to_owned())),
            _ => headers.push(("x-api-key", "secret".to_owned())),
        }
        match self.below(8) {
            0 => headers.push(("idempotency-key", String::new())),
            1 => headers.push(("idempotency-key", format!("k{}", self.below(3)))),
            2 => headers.push(("x-smartops-source", "closed-loop".to_owned())),
            _ => {}
        }
        headers
    }
}

fn world() -> Server {
    let server = server(&[("smartops-erp-simulator", "erp"), ("x", "twice"), ("y", "twice")]);
    let mut world = server.world.lock().unwrap();
    world.end = End::Well;
    let mut known = remediation(REMEDIATION, Action::restart());
    known.metadata.namespace = Some("smartops-dev".into());
    world.keep(known);
    drop(world);
    server
}

#[tokio::test]
async fn whatever_is_sent_the_answer_is_documented_and_no_defect() {
    let document = world().send(Asked::new(Method::GET, "/openapi.json", "")).await.body;
    let (mut dice, mut sent, mut good) = (Dice(1), 0, 0);
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let content = &operation["requestBody"]["content"]["application/json"];
            let method: Method = method.to_uppercase().parse().unwrap();
            let server = world();
            let told = operation["parameters"].as_array();
            let parameters: Vec<&str> = told
                .into_iter()
                .flatten()
                .filter(|parameter| parameter["in"] == "query")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            let (mut found, mut refused) = (0, 0);
            for _ in 0..EACH {
                let mut path = dice.path(path);
                if !parameters.is_empty() {
                    path.push_str(&dice.query(&parameters));
                }
                let body =
                    if content.is_null() { String::new() } else { dice.body(&content["example"]) };
                let mut asked = Asked::new(method.clone(), &path, body.clone());
                asked.headers = dice.headers();
                let reply = server.send(asked).await;
                sent += 1;
                good += usize::from(reply.status.is_success());
                found += usize::from(reply.status.is_success());
                refused += usize::from(reply.status.is_client_error());
                let is_open = operation["security"].is_array();
                assert!(
                    is_open || !reply.status.is_server_error(),
                    "{method} {path} {body}: {}",
                    reply.body
                );
                if reply.status == StatusCode::BAD_REQUEST {
                    assert!(reply.body["detail"].is_string(), "{}", reply.body);
                }
            }
            let is_filled = path.contains('{') || !parameters.is_empty();
            assert!(!is_filled || found.min(refused) > EACH / 10, "{path}: {found}, {refused}");
        }
    }
    assert!(sent >= 2000 && good > sent / 5 && good < sent, "{good} of {sent} were good");
}
