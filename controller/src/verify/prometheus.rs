//! Asking Prometheus: one instant query for each check, each under a deadline and with a bound on its answer. What an
//! answer means is `checks`'.

use std::time::Duration;

use anyhow::Context;
use axum::http::{Request, StatusCode, Uri, header};
use futures::future::join_all;
use http_body_util::{BodyExt, Limited};
use kube::{Client, Config};
use serde::Deserialize;
use serde_json::Value;
use smartops_common::remediation::MetricCheck;

use super::checks::{self, Answer};

/// How long one question may take.
const LIMIT: Duration = Duration::from_secs(5);
/// Longest answer that is read, in bytes: one number needs a few hundred.
const LARGEST: usize = 1 << 16;
/// Longest sentence of Prometheus' that is handed on, in characters.
const LONGEST: usize = 300;

/// A Prometheus, where the installation has one.
#[derive(Clone)]
pub struct Prometheus {
    client: Option<Client>,
}

impl std::fmt::Debug for Prometheus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prometheus").field("is_there", &self.client.is_some()).finish()
    }
}

impl Prometheus {
    /// The one at this address, or none.
    pub fn at(address: Option<&Uri>) -> anyhow::Result<Self> {
        let client = address
            .map(|address| {
                let mut config = Config::new(address.clone());
                config.connect_timeout = Some(LIMIT);
                config.read_timeout = Some(LIMIT);
                Client::try_from(config).context("Prometheus cannot be asked")
            })
            .transpose()?;
        Ok(Self { client })
    }

    /// The answers to these checks of a target, in their order.
    pub async fn ask(
        &self,
        checks: &[MetricCheck],
        namespace: &str,
        deployment: &str,
    ) -> Vec<Answer> {
        join_all(checks.iter().map(|check| self.answer(check, namespace, deployment))).await
    }

    async fn answer(&self, check: &MetricCheck, namespace: &str, deployment: &str) -> Answer {
        let Some(client) = &self.client else {
            return Answer::Nobody(
                "the controller has no Prometheus to ask: give it one with --prometheus-url".into(),
            );
        };
        let query = match checks::query(check, namespace, deployment) {
            Ok(query) => query,
            Err(why) => return Answer::Nothing(why),
        };
        match tokio::time::timeout(LIMIT, get(client, &query)).await {
            Ok(Ok((status, body))) => read(status, &body),
            Ok(Err(why)) => Answer::Nothing(format!("Prometheus cannot be asked: {why}")),
            Err(_) => {
                Answer::Nothing(format!("Prometheus did not answer within {} s", LIMIT.as_secs()))
            }
        }
    }
}

async fn get(client: &Client, query: &str) -> Result<(StatusCode, Vec<u8>), String> {
    let request = Request::post("/api/v1/query")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(kube::client::Body::from(format!("query={}", encoded(query)).into_bytes()))
        .map_err(|error| error.to_string())?;
    let answer = client.send(request).await.map_err(|error| error.to_string())?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LARGEST).collect().await;
    let body = body.map_err(|error| format!("its answer cannot be read: {error}"))?;
    Ok((status, body.to_bytes().to_vec()))
}

/// A text as a form carries it.
fn encoded(text: &str) -> String {
    let hex = |digit: u8| char::from_digit(digit.into(), 16).unwrap_or('0').to_ascii_uppercase();
    text.bytes().fold(String::new(), |mut all, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            all.push(char::from(byte));
        } else {
            all.extend(['%', hex(byte >> 4), hex(byte & 0xf)]);
        }
        all
    })
}

/// Prometheus' answer, as its API documents it.
#[derive(Deserialize)]
struct Reply {
    status: String,
    #[serde(default)]
    data: Option<Data>,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Value,
}

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    value: Option<Sample>,
}

/// When, and the number.
type Sample = (f64, String);

fn read(status: StatusCode, body: &[u8]) -> Answer {
    let nothing = |why: String| Answer::Nothing(why.chars().take(LONGEST).collect());
    let Ok(reply) = serde_json::from_slice::<Reply>(body) else {
        return nothing(format!("Prometheus answered {status} and no JSON of its API"));
    };
    if reply.status != "success" {
        return nothing(format!("Prometheus answered {status}: {}", reply.error));
    }
    let several = "one bad one would be lost among them; aggregate them into one number (max, sum)";
    let Some(Data { result_type, result }) = reply.data else {
        return nothing("Prometheus answered without data".into());
    };
    match result_type.as_str() {
        "scalar" => match serde_json::from_value::<Sample>(result) {
            Ok((_, number)) => Answer::Number(number),
            Err(error) => nothing(format!("Prometheus' scalar cannot be read: {error}")),
        },
        "vector" => match serde_json::from_value::<Vec<Series>>(result).as_deref() {
            Ok([Series { value: Some((_, number)) }]) => Answer::Number(number.clone()),
            Ok([_]) => nothing("the query gives a histogram: make one number of it".into()),
            Ok([]) => nothing("Prometheus has no sample of it".into()),
            Ok(all) => nothing(format!("the query gives {} series: {several}", all.len())),
            Err(error) => nothing(format!("Prometheus' vector cannot be read: {error}")),
        },
        other => {
            nothing(format!("the query gives a {other}, neither a number nor a vector of one"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_is_an_answer_and_anything_else_is_none_and_says_why() {
        let vector = |samples: &str| {
            format!(
                r#"{{"status":"success","data":{{"resultType":"vector","result":[{samples}]}}}}"#
            )
        };
        let sample = r#"{"metric":{},"value":[1700000000.1,"0.25"]}"#;
        let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1.5,"3"]}}"#;
        assert_eq!(read(StatusCode::OK, vector(sample).as_bytes()), Answer::Number("0.25".into()));
        assert_eq!(read(StatusCode::OK, scalar.as_bytes()), Answer::Number("3".into()));
        let matrix = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
        let error = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
        for (body, words) in [
            (vector(""), "no sample"),
            (vector(&format!("{sample},{sample}")), "2 series"),
            (vector(r#"{"metric":{},"histogram":[1,{}]}"#), "histogram"),
            (matrix.into(), "neither"),
            (error.into(), "parse error"),
            ("<html>".into(), "no JSON"),
        ] {
            match read(StatusCode::OK, body.as_bytes()) {
                Answer::Nothing(why) => assert!(why.contains(words), "{why}"),
                other => panic!("{body}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_query_travels_as_a_form_whatever_stands_in_it() {
        assert_eq!(
            encoded("rate(x{a=\"b\"}[1m]) + 1&c"),
            "rate%28x%7Ba%3D%22b%22%7D%5B1m%5D%29%20%2B%201%26c"
        );
    }

    #[tokio::test]
    async fn where_there_is_no_prometheus_nobody_answers() {
        let check = MetricCheck {
            name: "p95".into(),
            query: "1".into(),
            max: Some("1".into()),
            min: None,
            max_ratio: None,
        };
        let nobody = Prometheus::at(None).unwrap();
        let answers = nobody.ask(std::slice::from_ref(&check), "ns", "web").await;
        assert!(matches!(answers.as_slice(), [Answer::Nobody(_)]), "{answers:?}");
        // One that is not there is asked again: it may come back.
        let gone = Prometheus::at(Some(&Uri::from_static("http://127.0.0.1:9"))).unwrap();
        let answers = gone.ask(&[check], "ns", "web").await;
        assert!(matches!(answers.as_slice(), [Answer::Nothing(_)]), "{answers:?}");
    }
}
