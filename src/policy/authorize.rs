//! Who may do what: the part of a decision that may have to wait for others. Nothing asks for
//! it yet, and a request that need not wait is not made to.

use super::admitted::Admitted;
use super::facts::Facts;
use crate::fault::error::ProxyError;

/// Lets an admitted request go on, or says why it must not.
///
/// # Errors
/// The refusal that the client is answered with.
#[inline]
pub async fn authorize(_admitted: &Admitted, _facts: &Facts) -> Result<(), ProxyError> {
    Ok(())
}
