//! The part of an image's name that people choose.

/// A registry with or without a path in it: `localhost`, `HOST:5000`, `HOST/team/area`.
pub(super) fn registry(text: &str) -> Result<String, String> {
    let (host, path) = text.split_once('/').map_or((text, None), |(host, path)| (host, Some(path)));
    let (host, port) = host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port)));
    let fits = is_word(host)
        && port.is_none_or(|port| port.parse::<u16>().is_ok())
        && path.is_none_or(|path| path.split('/').all(is_word));
    if fits {
        return Ok(text.to_owned());
    }
    Err("an image's name begins with HOST[:PORT][/PATH], of small letters, digits, '.', '-' and '_', without a \
         scheme, a tag or a slash at the end; `localhost` when the image is imported by hand"
        .to_owned())
}

/// Begins and ends with a letter or digit.
fn is_word(text: &str) -> bool {
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.iter().all(|byte| plain(byte) || b".-_".contains(byte))
        && bytes.first().is_some_and(plain)
        && bytes.last().is_some_and(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_may_have_a_port_and_a_path() {
        for good in
            ["localhost", "host.example", "host:5000", "host.example/team/area_1", "10.0.0.1:80/x"]
        {
            assert_eq!(registry(good).as_deref(), Ok(good));
        }
    }

    #[test]
    fn what_would_be_no_image_name_is_refused_with_what_is_one() {
        for bad in [
            "",
            "Host",
            "https://host",
            "host/",
            "host:port",
            "host//x",
            "host/x:tag",
            "host x",
            "-host",
        ] {
            let said = registry(bad).unwrap_err();
            assert!(said.contains("HOST[:PORT][/PATH]"), "{bad}: {said}");
        }
    }
}
