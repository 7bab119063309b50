//! Values of a policy as text.

use std::time::Duration;

use crate::policy::spec::Rate;

pub(super) fn rate(rate: Rate) -> String {
    let unit = match rate.per.as_secs() {
        1 => "s".to_owned(),
        60 => "min".to_owned(),
        3_600 => "h".to_owned(),
        86_400 => "day".to_owned(),
        other => format!("{other}s"),
    };
    format!("{}/{unit}", rate.count)
}

pub(super) fn duration(duration: Duration) -> String {
    match (duration.as_secs(), duration.subsec_millis()) {
        (seconds, 0) => format!("{seconds}s"),
        (_, _) => format!("{}ms", duration.as_millis()),
    }
}

/// What is there, or `none`.
pub(super) fn optional<T>(value: Option<T>, shown: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "none".to_owned(), shown)
}
