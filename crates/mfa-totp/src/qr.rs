//! QR codes of an `otpauth` URI.

use qrcode::render::svg;
use qrcode::{Color, EcLevel, QrCode};
use zeroize::Zeroizing;

use crate::{Error, OtpauthUri};
use mfa_core::SecretText;

/// The light margin that a scanner needs, in modules (ISO/IEC 18004, "quiet zone").
const QUIET_ZONE: usize = 4;
/// The smallest edge of the picture, in pixels of the SVG's own size.
const MIN_EDGE: u32 = 240;

/// The background of the terminal that a code is printed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Background {
    /// Light text on a dark ground.
    #[default]
    Dark,
    /// Dark text on a light ground.
    Light,
}

impl OtpauthUri {
    /// Returns the QR code as an SVG document: black on white, quiet zone included, error correction
    /// level M.
    ///
    /// # Security
    ///
    /// The picture is the secret. Send it inside the page, never under a URL of its own, and once.
    /// The result is wiped when it is dropped; working memory of the encoder is not.
    ///
    /// ```
    /// use mfa_totp::{OtpauthUri, Parameters, TotpSecret};
    ///
    /// let secret = TotpSecret::from_bytes(b"12345678901234567890")?;
    /// let uri = OtpauthUri::new("Example", "ann", secret, Parameters::default())?;
    /// assert!(uri.to_qr_svg()?.expose_secret().ends_with("</svg>"));
    /// # Ok::<(), mfa_totp::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::QrTooLarge`] if the URI does not fit. No URI within this crate's limits is so long.
    pub fn to_qr_svg(&self) -> Result<SecretText, Error> {
        let code = self.encode()?;
        let image =
            code.render::<svg::Color<'_>>().quiet_zone(true).min_dimensions(MIN_EDGE, MIN_EDGE).build();
        Ok(SecretText::from(Zeroizing::new(image)))
    }

    /// Returns the QR code as lines of half blocks for a terminal, quiet zone included, each line
    /// ended by `\n`.
    ///
    /// No colour codes are used, so the text goes through pipes and pagers; in return the caller says
    /// what the terminal's background is. On the other background the code comes out inverted, which
    /// many scanners read, but not all.
    ///
    /// # Errors
    ///
    /// [`Error::QrTooLarge`] if the URI does not fit. No URI within this crate's limits is so long.
    pub fn to_qr_text(&self, background: Background) -> Result<SecretText, Error> {
        let code = self.encode()?;
        let width = code.width();
        let modules: Zeroizing<Vec<bool>> =
            Zeroizing::new(code.to_colors().into_iter().map(|color| color == Color::Dark).collect());
        Ok(SecretText::from(half_blocks(&modules, width, background)))
    }

    fn encode(&self) -> Result<QrCode, Error> {
        QrCode::with_error_correction_level(self.to_uri().expose_secret(), EcLevel::M)
            .map_err(|_| Error::QrTooLarge)
    }
}

/// Draws two rows of modules as one line of text.
fn half_blocks(modules: &[bool], width: usize, background: Background) -> Zeroizing<String> {
    let edge = width.saturating_add(QUIET_ZONE.saturating_mul(2));
    // Everything outside the symbol is light, an odd last row's missing half too.
    let is_dark = |x: usize, y: usize| {
        let (Some(x), Some(y)) = (x.checked_sub(QUIET_ZONE), y.checked_sub(QUIET_ZONE)) else {
            return false;
        };
        let index = y.saturating_mul(width).saturating_add(x);
        x < width && modules.get(index).copied().unwrap_or(false)
    };
    // The terminal paints a block in its text colour.
    let is_painted = |x, y| is_dark(x, y) == (background == Background::Light);

    // A block takes three bytes of UTF-8; a line has a line break.
    let lines = edge.div_ceil(2);
    let capacity = lines.saturating_mul(edge.saturating_mul(3).saturating_add(1));
    let mut text = Zeroizing::new(String::with_capacity(capacity));
    for y in (0..edge).step_by(2) {
        for x in 0..edge {
            text.push(match (is_painted(x, y), is_painted(x, y.saturating_add(1))) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        text.push('\n');
    }
    text
}
