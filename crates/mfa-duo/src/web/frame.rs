//! Where Duo's frame is.

use mfa_core::SecretText;

use crate::ApiHost;
use crate::percent::encode_component_into;
use crate::web::SigRequest;

/// The version of the script whose address this is.
const SCRIPT_VERSION: &str = "2.9";

/// Returns the address of Duo's frame, as `Duo-Web-v2.js` makes it:
/// `https://HOST/frame/web/v1/auth?tx=TX&parent=PAGE&v=2.9`.
///
/// `parent` is the address of the page that shows the frame. The address holds a cookie: it belongs in that page
/// and nowhere else.
///
/// ```
/// use mfa_core::Timestamp;
/// use mfa_duo::web::{WebSdk, iframe_src};
/// use mfa_duo::{ApiHost, ApplicationKey, IntegrationKey, SecretKey};
///
/// let sdk = WebSdk::new(
///     IntegrationKey::parse("DIXXXXXXXXXXXXXXXXXX")?,
///     SecretKey::parse("deadbeefdeadbeefdeadbeefdeadbeefdeadbeef")?,
///     ApplicationKey::parse("useacustomerprovidedapplicationsecretkey")?,
/// )?;
/// let request = sdk.sign_request("ann", Timestamp::from_unix_seconds(1_700_000_000)?)?;
/// let host = ApiHost::parse("api-xxxxxxxx.duosecurity.com")?;
/// let address = iframe_src(&host, &request, "https://example.com/login");
/// assert!(address.expose_secret().starts_with("https://api-xxxxxxxx.duosecurity.com/frame/web/v1/auth?tx=TX%7C"));
/// assert_eq!(format!("{address:?}"), "[redacted]");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn iframe_src(host: &ApiHost, request: &SigRequest, parent: &str) -> SecretText {
    let mut address = String::with_capacity(parent.len().saturating_mul(3).saturating_add(512));
    address.push_str("https://");
    address.push_str(host.authority());
    address.push_str("/frame/web/v1/auth?tx=");
    encode_component_into(&mut address, request.duo_half());
    address.push_str("&parent=");
    encode_component_into(&mut address, parent);
    address.push_str("&v=");
    address.push_str(SCRIPT_VERSION);
    SecretText::new(address)
}
