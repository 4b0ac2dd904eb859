//! The API server's metrics, summed by label.

/// A scrape of `/metrics`.
#[derive(Clone, Debug)]
pub struct Metrics {
    text: String,
}

impl Metrics {
    /// From the text exposition format.
    pub fn new(text: String) -> Self {
        Self { text }
    }

    /// The sum of all samples called `name` that carry every one of `labels`.
    /// Zero when there are none: counters that never counted are not shown.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.text.lines().filter_map(|line| sample(line, name, labels)).sum()
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn sample(line: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let rest = line.strip_prefix(name)?;
    let (set, value) = match rest.strip_prefix('{') {
        // Label values may contain braces; the value after them may not.
        Some(rest) => rest.rsplit_once('}')?,
        None => ("", rest.strip_prefix(' ')?),
    };
    let has = |(key, value): &(&str, &str)| {
        let pair = format!("{key}=\"{value}\"");
        set.starts_with(&pair) || set.contains(&format!(",{pair}"))
    };
    labels.iter().all(has).then(|| value.trim().parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_by_label() {
        let metrics = Metrics::new(
            "# HELP a x\na{verb=\"GET\",code=\"200\"} 2\na{verb=\"GET\",code=\"404\"} 1\n\
             a{verb=\"PUT\",code=\"200\"} 5\nab{verb=\"GET\"} 100\nplain 7.5\n"
                .to_owned(),
        );
        let is = |name: &str, labels: &[(&str, &str)], value: f64| {
            let sum = metrics.sum(name, labels);
            assert!((sum - value).abs() < 1e-9, "{name} {labels:?}: {sum}");
        };
        is("a", &[("verb", "GET")], 3.0);
        is("a", &[("code", "200"), ("verb", "PUT")], 5.0);
        is("a", &[], 8.0);
        is("plain", &[], 7.5);
        is("a", &[("erb", "GET")], 0.0);
    }
}
