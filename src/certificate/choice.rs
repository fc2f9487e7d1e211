//! Which certificate a client gets for the name that it asks for (RFC 6066 section 3): one that
//! names it, else one with a wildcard over it, else the first. Several may fit, of which the
//! handshake takes the first whose key the client understands.

use std::collections::HashMap;

/// Indices of certificates by name.
#[derive(Debug, Default)]
pub struct Choice {
    exact: HashMap<String, Vec<usize>>,
    /// By what stands after the `*.`.
    wild: HashMap<String, Vec<usize>>,
    /// Those with the names of the first, which stand in for names that none has.
    first: Vec<usize>,
}

impl Choice {
    /// Of certificates with these names.
    pub fn new<'a>(certificates: impl IntoIterator<Item = &'a [String]>) -> Choice {
        let mut choice = Choice::default();
        let mut first: Option<&[String]> = None;
        for (index, names) in certificates.into_iter().enumerate() {
            if *first.get_or_insert(names) == names {
                choice.first.push(index);
            }
            for name in names {
                let (by, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut choice.wild, parent),
                    None => (&mut choice.exact, &**name),
                };
                let same = by.entry(name.to_owned()).or_default();
                if same.last() != Some(&index) {
                    same.push(index);
                }
            }
        }
        choice
    }

    /// The certificates that hold for this name, as [`plain_name`] makes it.
    pub fn of_name(&self, name: &str) -> Option<&[usize]> {
        let wild = || {
            // A wildcard is one label (RFC 9525 section 6.3).
            let (label, parent) = name.split_once('.')?;
            self.wild.get(parent).filter(|_| !label.is_empty())
        };
        self.exact.get(name).or_else(wild).map(Vec::as_slice)
    }

    /// Those for names that none has.
    pub fn first(&self) -> &[usize] {
        &self.first
    }
}

/// A name as certificates have it: in lower case, without a dot at its end.
pub fn plain_name(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(all: &[&[&str]]) -> Choice {
        let owned: Vec<Vec<String>> = { all.iter() }
            .map(|names| names.iter().map(|&name| name.to_owned()).collect())
            .collect();
        Choice::new(owned.iter().map(Vec::as_slice))
    }

    #[test]
    fn an_exact_name_comes_before_a_wildcard_and_that_before_none() {
        let choice = choice(&[
            &["a.test", "*.a.test"],
            &["*.b.test"],
            &["www.a.test"],
            &["a.test", "*.a.test"],
        ]);
        for (name, found) in [
            ("a.test", Some(&[0, 3][..])),
            ("www.a.test", Some(&[2])),
            ("x.a.test", Some(&[0, 3])),
            ("y.x.a.test", None),
            ("b.test", None),
            ("x.b.test", Some(&[1])),
            (".b.test", None),
            ("c.test", None),
            ("test", None),
            ("", None),
        ] {
            assert_eq!(choice.of_name(name), found, "{name}");
        }
        assert_eq!(choice.first(), [0, 3], "both keys of the first names");
        assert_eq!(Choice::default().first(), [0; 0]);
    }
}
