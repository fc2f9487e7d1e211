//! Fuzz body of the admin interface's queries: what is read of one says the same when it is
//! written again, and nothing panics.

use sluice::admin::FilterRequest;

/// The input is a query.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match text.parse::<FilterRequest>() {
        Ok(filter) => {
            let again = write(&filter);
            assert_eq!(again.parse(), Ok(filter), "{again}");
        }
        Err(why) => assert!(!why.error.is_empty()),
    }
}

/// Every byte that may mean something encoded.
fn write(filter: &FilterRequest) -> String {
    let parts = [
        ("route", &filter.route),
        ("upstream", &filter.upstream),
        ("endpoint", &filter.endpoint),
        ("client", &filter.client),
        ("q", &filter.q),
        ("min_age", &filter.min_age),
        ("min_idle", &filter.min_idle),
    ];
    let mut query = String::new();
    for (name, value) in parts {
        if let Some(value) = value {
            query += &format!("{name}=");
            for byte in value.bytes() {
                query += &format!("%{byte:02x}");
            }
            query.push('&');
        }
    }
    query
}
