//! Reading Prometheus text: the sum of the samples that fit.

/// The sum of all samples of `name` that carry every one of `labels`; none when there is no such sample.
pub fn sum(text: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let mut total = None;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let (found, set) = series.split_once('{').unwrap_or((series, ""));
        let carries = |(key, wanted): &(&str, &str)| {
            let pair = format!("{key}=\"{wanted}\"");
            set.trim_end_matches('}').split(',').any(|own| own == pair)
        };
        if found == name && labels.iter().all(carries) {
            *total.get_or_insert(0.0) += value.parse::<f64>().unwrap_or_default();
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "# TYPE a counter\na{x=\"1\",y=\"2\"} 3\na{x=\"1\",y=\"3\"} 4\nab{x=\"1\"} 9\nb 1.5\n";

    #[test]
    fn samples_that_carry_the_labels_are_summed_and_others_are_not() {
        assert_eq!(sum(TEXT, "a", &[("x", "1")]), Some(7.0));
        assert_eq!(sum(TEXT, "a", &[("x", "1"), ("y", "3")]), Some(4.0));
        assert_eq!(sum(TEXT, "b", &[]), Some(1.5));
        assert_eq!(sum(TEXT, "a", &[("x", "2")]), None);
    }
}
