//! What holds for every Origin and pattern.

use super::*;

fn authority() -> impl Strategy<Value = String> {
    (
        "([a-c]{1,2}\\.){0,2}[a-c]{1,2}",
        prop::sample::select(vec!["", ":80", ":443", ":8080"]),
    )
        .prop_map(|(host, port)| format!("{host}{port}"))
}

proptest! {
    #[test]
    fn an_origin_is_parsed_whole_or_not_at_all(text in prop_oneof!["\\PC*", "https?://\\PC*", "https?://[a.:\\[\\]0-9*@/]{0,9}"]) {
        if let Some(origin) = Origin::parse(&text) {
            let start = format!("{}://{}", origin.scheme, origin.host);
            prop_assert!(text.starts_with(&start));
            let end = &text[start.len()..];
            let port = end.strip_prefix(':').map(|port| port.parse::<u16>().ok());
            prop_assert!(end.is_empty() || port == Some(origin.port), "{}", end);
        }
    }

    #[test]
    fn what_is_advised_can_be_written(text in prop_oneof!["\\PC*", "(https?|wss?|file|x-y|\\*)://[a.:\\[\\]0-9*@/#?]{0,9}", "[a.:\\[\\]0-9*@/]{0,9}"]) {
        match parse_pattern(&text) {
            Ok(pattern) => prop_assert_eq!(parse_pattern(&pattern.to_string()), Ok(pattern)),
            Err(reason) => if let Some((_, advice)) = reason.split_once(": write `")
                && !advice.starts_with("origin = ") && !advice.starts_with("that")
            {
                let advice = advice.strip_suffix('`').unwrap();
                prop_assert!(parse_pattern(advice).is_ok(), "{} for {}", advice, text);
            }
        }
    }

    #[test]
    fn a_pattern_is_read_back_and_admits_itself(scheme in "https?", authority in authority(), wild in any::<bool>()) {
        let pattern = parse_pattern(&format!("{scheme}://{}{authority}", if wild { "*." } else { "" })).unwrap();
        prop_assert_eq!(parse_pattern(&pattern.to_string()), Ok(pattern.clone()));
        let policy = Policy::of(OriginRule::List(vec![pattern]));
        let origin = format!("{scheme}://{}{authority}", if wild { "x.y." } else { "" });
        prop_assert_eq!(verdict(&policy, &[&origin], Scheme::Http, "public"), Ok(()));
        let apex = format!("{scheme}://{authority}");
        prop_assert_eq!(verdict(&policy, &[&apex], Scheme::Http, "public").is_ok(), !wild);
    }

    #[test]
    fn same_origin_ignores_case_and_tells_authorities_apart(scheme in "https?", page in authority(), host in authority()) {
        let port = |authority: &str| host::split_port(authority).unwrap().1.unwrap_or(if scheme == "http" { 80 } else { 443 });
        let name = |authority: &str| host::split_port(authority).unwrap().0.to_owned();
        let same = name(&page) == name(&host) && port(&page) == port(&host);
        let origin = format!("{scheme}://{}", page.to_ascii_uppercase());
        prop_assert_eq!(verdict(&rule(&["same-origin"]), &[&origin], Scheme::Http, &host).is_ok(), same);
        prop_assert_eq!(verdict(&rule(&["same-origin"]), &[&format!("{scheme}://{page}")], Scheme::Http, &page), Ok(()));
    }
}
