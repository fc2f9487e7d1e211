//! How a value of the file stands in the typed configuration, and how it is written back.

use toml::de::DeValue;

use super::read::{Key, Node, Read, Sink};
use super::written::Written;

/// A form of the file whose values the typed configuration holds as a `U`.
pub(crate) trait Setting<U>: Read {
    /// What was read, as the typed configuration holds it.
    fn value(&self) -> U;
    /// As a file writes it.
    fn write(value: &U) -> Written;
}

/// Declares that the typed configuration holds what such a form has read as it stands.
macro_rules! held_as_read {
    ($($form:ty => $held:ty),+ $(,)?) => {$(
        impl $crate::setting::typed::Setting<$held> for $form {
            fn value(&self) -> $held {
                self.0.clone()
            }

            fn write(value: &$held) -> $crate::setting::written::Written {
                value.as_str().into()
            }
        }
    )+};
}
pub(crate) use held_as_read;

impl<T: Read> Key<T> {
    /// Puts the value in the place of the default, if one was given.
    pub(crate) fn store<U>(&self, place: &mut U)
    where
        T: Setting<U>,
    {
        if let Some(form) = self.value() {
            *place = form.value();
        }
    }
}

/// The value of a declared default, which is written as in a file.
///
/// # Panics
/// Where the declaration is wrong, on the first use of its table.
pub(crate) fn default_of<F: Setting<U>, U>(text: &'static str) -> U {
    let mut sink = Sink::default();
    let value = DeValue::parse(text);
    let form = value.as_ref().ok().and_then(|value| {
        let node = Node {
            value: value.get_ref(),
            span: 0..0,
            key: String::new(),
        };
        F::read(&node, &mut sink)
    });
    match form {
        Some(form) => form.value(),
        None => panic!(
            "{text} is declared as a default and is not valid: {:?}",
            sink.problems
        ),
    }
}
