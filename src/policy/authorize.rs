//! Authorisation: the part of a decision that may have to wait for another service. Nothing is
//! configured to need it yet, and a request that need not wait does not.

use super::admitted::Admitted;
use super::facts::Facts;
use crate::fault::error::ProxyError;

/// Authorises an admitted request.
///
/// # Errors
/// The refusal for the client.
#[inline]
pub async fn authorize(_admitted: &Admitted, _facts: &Facts) -> Result<(), ProxyError> {
    Ok(())
}
