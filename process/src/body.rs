//! Reading a request's body: bounded in size and time.
//!
//! A body over the limit is read to its end and thrown away (up to four times the limit) before the refusal is
//! sent: a client still writing when the connection closes would see a reset instead of the 413.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

/// Why a body was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Larger than allowed: 413.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// What is allowed, in bytes.
        limit: usize,
    },
    /// Did not arrive in time: 408.
    #[error("the body did not arrive within {limit:?}")]
    TooSlow {
        /// What is allowed.
        limit: Duration,
    },
    /// The client went away or broke the protocol: 400.
    #[error("the body ended before its end")]
    Broken,
}

/// Reads a whole body of at most `limit` bytes within `time`.
pub async fn read(body: Body, limit: usize, time: Duration) -> Result<Bytes, Error> {
    match tokio::time::timeout(time, collect(body, limit)).await {
        Ok(result) => result,
        Err(_) => Err(Error::TooSlow { limit: time }),
    }
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes, Error> {
    let mut whole = BytesMut::new();
    let mut size = 0usize;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Error::Broken)?.into_data() else { continue };
        size = size.saturating_add(data.len());
        if size > limit.saturating_mul(4) {
            break;
        }
        if size <= limit {
            whole.extend_from_slice(&data);
        }
    }
    if size > limit { Err(Error::TooLarge { limit }) } else { Ok(whole.freeze()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_body_at_the_limit_is_taken_and_one_byte_more_is_not() {
        assert_eq!(read(Body::from("12345"), 5, TIME).await.unwrap(), "12345");
        assert_eq!(read(Body::from("123456"), 5, TIME).await, Err(Error::TooLarge { limit: 5 }));
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_given_up() {
        let endless = futures::stream::pending::<Result<Bytes, std::io::Error>>();
        let time = Duration::from_millis(20);
        let error = read(Body::from_stream(endless), 5, time).await.unwrap_err();
        assert_eq!(error, Error::TooSlow { limit: time });
    }
}
