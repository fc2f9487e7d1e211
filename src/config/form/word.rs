//! Settings that are one word out of a few.

use crate::config::{
    Balance, ErrorDetail, LogFormat, MissingOrigin, OnChange, ParentRule, Scheme, TapLevel,
};
use crate::setting::scalar::words;

words!(Balance, "`\"least\"` or `\"round-robin\"`",
    "least" => Balance::Least,
    "round-robin" => Balance::RoundRobin,
);
words!(LogFormat, "`\"auto\"`, `\"human\"`, `\"json\"` or `\"combined\"`",
    "auto" => LogFormat::Auto,
    "human" => LogFormat::Human,
    "json" => LogFormat::Json,
    "combined" => LogFormat::Combined,
);
words!(Scheme, "`\"http\"` or `\"https\"`",
    "http" => Scheme::Http,
    "https" => Scheme::Https,
);
words!(OnChange, "`\"keep\"`, `\"drain\"` or `\"close\"`",
    "keep" => OnChange::Keep,
    "drain" => OnChange::Drain,
    "close" => OnChange::Close,
);
words!(ParentRule, "`\"continue\"`, `\"trusted\"` or `\"ignore\"`",
    "continue" => ParentRule::Continue,
    "trusted" => ParentRule::Trusted,
    "ignore" => ParentRule::Ignore,
);
words!(TapLevel, "`\"off\"`, `\"headers\"` or `\"payload\"`",
    "off" => TapLevel::Off,
    "headers" => TapLevel::Headers,
    "payload" => TapLevel::Payload,
);
words!(MissingOrigin, "`\"allow\"` or `\"deny\"`",
    "allow" => MissingOrigin::Allow,
    "deny" => MissingOrigin::Deny,
);
words!(ErrorDetail, "`\"public\"` or `\"full\"`",
    "public" => ErrorDetail::Public,
    "full" => ErrorDetail::Full,
);
