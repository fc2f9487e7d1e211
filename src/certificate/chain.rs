//! Whether a chain hangs together as a server has to send it (RFC 8446 section 4.4.2): its own
//! certificate first, and each further one signs the one before it.

use super::facts::Facts;

/// What clients would stumble over, if anything.
pub fn doubt(chain: &[Facts]) -> Option<String> {
    let own = chain.first()?;
    for (at, pair) in chain.windows(2).enumerate() {
        if pair[0].issuer_der == pair[1].subject_der {
            continue;
        }
        let signs = |facts: &Facts| facts.subject_der == pair[0].issuer_der;
        return Some(match chain.iter().any(signs) {
            true => format!(
                "the chain is in the wrong order: certificate {} (`{}`) does not sign the one \
                 before it; write the server's own certificate first, then the one that signs \
                 it, and so on",
                at + 2,
                pair[1].subject
            ),
            false => format!(
                "the chain is broken: certificate {} (`{}`) does not sign the one before it, \
                 which `{}` has signed",
                at + 2,
                pair[1].subject,
                pair[0].issuer
            ),
        });
    }
    if own.is_authority && chain.len() == 1 && !own.is_own_issuer() {
        return Some(format!(
            "the file begins with the certificate of an authority (`{}`), not with that of a \
             server",
            own.subject
        ));
    }
    (chain.len() == 1 && !own.is_own_issuer()).then(|| {
        format!(
            "the chain is incomplete unless clients trust `{}` itself: put the certificate that \
             signs this one after it in the file (with ACME clients that is `fullchain.pem`, not \
             `cert.pem`)",
            own.issuer
        )
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    fn named(name: &str, is_ca: bool) -> (CertificateParams, KeyPair) {
        let mut parameters = CertificateParams::new([format!("{name}.test")]).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, name);
        if is_ca {
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        (parameters, KeyPair::generate().unwrap())
    }

    #[test]
    fn a_chain_is_whole_and_in_order_or_says_what_is_wrong() {
        let (root, root_key) = named("root", true);
        let (middle, middle_key) = named("middle", true);
        let (leaf, leaf_key) = named("leaf", false);
        let alone = root.self_signed(&root_key).unwrap();
        let root = Issuer::new(root, root_key);
        let signed = middle.signed_by(&middle_key, &root).unwrap();
        let middle = Issuer::new(middle, middle_key);
        let own = leaf.signed_by(&leaf_key, &middle).unwrap();
        let [root, middle, own] =
            [alone.der(), signed.der(), own.der()].map(|der| Facts::of(der).unwrap());
        for (chain, doubts) in [
            (vec![&own, &middle], None),
            (vec![&own, &middle, &root], None),
            (vec![&root], None),
            (vec![&own], Some("incomplete")),
            (vec![&middle], Some("an authority")),
            (vec![&middle, &own], Some("broken")),
            (vec![&middle, &own, &root], Some("wrong order")),
            (vec![&own, &root, &middle], Some("wrong order")),
            (vec![&own, &root], Some("broken")),
        ] {
            let names: Vec<&str> = chain.iter().map(|facts| &*facts.subject).collect();
            let chain: Vec<Facts> = chain.into_iter().cloned().collect();
            let found = doubt(&chain);
            assert_eq!(found.is_some(), doubts.is_some(), "{names:?}: {found:?}");
            let found = found.unwrap_or_default();
            assert!(
                found.contains(doubts.unwrap_or_default()),
                "{names:?}: {found}"
            );
        }
    }
}
