//! QR codes, read back by a decoder that shares no code with the encoder.

#![expect(clippy::arithmetic_side_effects, reason = "an overflow should fail the test")]

use mfa_totp::{Background, OtpauthUri, Parameters, TotpSecret};
use rqrr::PreparedImage;

/// Rows of modules, `true` for dark.
type Picture = Vec<Vec<bool>>;

fn uris() -> Vec<OtpauthUri> {
    let long = "é".repeat(60);
    [("Example", "ann"), ("Bücher & Co", "ann+test@example.com 🔑"), (&long, &long)]
        .into_iter()
        .filter_map(|(issuer, account)| {
            let secret = TotpSecret::from_entropy(*b"12345678901234567890");
            OtpauthUri::new(issuer, account, secret, Parameters::default()).ok()
        })
        .collect()
}

/// Decodes a picture, drawn with eight pixels a module.
fn decode(picture: &Picture) -> Option<String> {
    const PIXELS: usize = 8;
    let (width, height) = (picture.first()?.len(), picture.len());
    let mut image = PreparedImage::prepare_from_greyscale(width * PIXELS, height * PIXELS, |x, y| {
        let dark = picture.get(y / PIXELS).and_then(|row| row.get(x / PIXELS));
        if dark == Some(&true) { 0 } else { 255 }
    });
    let grids = image.detect_grids();
    let (_, text) = grids.first()?.decode().ok()?;
    Some(text)
}

/// Reads half blocks as a terminal of the given background shows them.
fn read_terminal(text: &str, background: Background) -> Picture {
    let mut picture = Picture::new();
    for line in text.lines() {
        for painted in [['█', '▀'], ['█', '▄']] {
            let row = line.chars().map(|block| {
                assert!(" █▀▄".contains(block), "only half blocks: {block:?}");
                painted.contains(&block) == (background == Background::Light)
            });
            picture.push(row.collect());
        }
    }
    picture
}

/// Reads the dark rectangles `M{x} {y}h{width}v{height}…` of the picture, one pixel each.
fn read_svg(svg: &str) -> Option<Picture> {
    let edge: usize = svg.split_once("viewBox=\"0 0 ")?.1.split_once(' ')?.0.parse().ok()?;
    let mut picture = vec![vec![false; edge]; edge];
    for rectangle in svg.split_once(" d=\"M")?.1.split_once('"')?.0.split('M') {
        let (left, rest) = rectangle.split_once(' ')?;
        let (top, rest) = rest.split_once('h')?;
        let (width, rest) = rest.split_once('v')?;
        let (height, _) = rest.split_once('H')?;
        let [left, top, width, height] = [left, top, width, height].map(|number| number.parse::<usize>());
        let (left, top) = (left.ok()?, top.ok()?);
        let (right, bottom) = (left + width.ok()?, top + height.ok()?);
        for row in picture.get_mut(top..bottom)? {
            row.get_mut(left..right)?.fill(true);
        }
    }
    Some(picture)
}

fn margins(picture: &Picture) -> [usize; 4] {
    let light = |row: &Vec<bool>| row.iter().all(|dark| !dark);
    let left = picture.iter().filter_map(|row| row.iter().position(|dark| *dark)).min();
    let right = picture.iter().filter_map(|row| row.iter().rev().position(|dark| *dark)).min();
    [
        picture.iter().take_while(|row| light(row)).count(),
        picture.iter().rev().take_while(|row| light(row)).count(),
        left.unwrap_or_default(),
        right.unwrap_or_default(),
    ]
}

#[test]
fn terminal_text_shows_the_uri_on_both_backgrounds() {
    for uri in uris() {
        for background in [Background::Dark, Background::Light] {
            let text = uri.to_qr_text(background).unwrap();
            let picture = read_terminal(text.expose_secret(), background);
            assert_eq!(decode(&picture).as_deref(), Some(uri.to_uri().expose_secret()));
        }
    }
}

#[test]
fn the_other_background_shows_the_same_code_inverted() {
    for uri in uris() {
        let dark = uri.to_qr_text(Background::Dark).unwrap();
        let light = uri.to_qr_text(Background::Light).unwrap();
        assert_eq!(
            read_terminal(dark.expose_secret(), Background::Dark),
            read_terminal(light.expose_secret(), Background::Light),
        );
        assert_ne!(dark.expose_secret(), light.expose_secret());
    }
}

#[test]
fn svg_shows_the_uri() {
    for uri in uris() {
        let svg = uri.to_qr_svg().unwrap();
        let picture = read_svg(svg.expose_secret()).expect("rectangles");
        assert!(picture.len() >= 240);
        assert_eq!(decode(&picture).as_deref(), Some(uri.to_uri().expose_secret()));
    }
}

/// Returns the edge of a module in pixels: the finder pattern in the upper left corner begins with
/// seven dark modules.
fn module_edge(picture: &Picture) -> usize {
    let first_row = picture.iter().find(|row| row.contains(&true));
    let run = first_row.into_iter().flatten().skip_while(|dark| !**dark).take_while(|dark| **dark);
    run.count() / 7
}

/// ISO/IEC 18004 asks for four light modules on every side.
#[test]
fn quiet_zone_is_at_least_four_modules() {
    for uri in uris() {
        let text = uri.to_qr_text(Background::Dark).unwrap();
        let svg = uri.to_qr_svg().unwrap();
        let pictures = [
            read_terminal(text.expose_secret(), Background::Dark),
            read_svg(svg.expose_secret()).expect("rectangles"),
        ];
        for picture in pictures {
            let wanted = 4 * module_edge(&picture);
            assert!(wanted >= 4);
            let found = margins(&picture);
            assert!(found.iter().all(|margin| *margin >= wanted), "{found:?} of {wanted}");
        }
    }
}

#[test]
fn svg_has_nothing_but_the_picture() {
    for uri in uris() {
        let svg = uri.to_qr_svg().unwrap();
        let svg = svg.expose_secret();
        for word in ["script", "href", "foreignObject", "<text", "<!", "otpauth"] {
            assert!(!svg.contains(word), "{word}");
        }
        assert!(svg.contains("fill=\"#fff\"") && svg.contains("fill=\"#000\""));
    }
}

#[test]
fn the_longest_uri_fits() {
    let (issuer, account) = ("é".repeat(64), "é".repeat(128));
    let secret = TotpSecret::from_bytes(&[255; 128]).unwrap();
    let uri = OtpauthUri::new(&issuer, &account, secret, Parameters::default()).unwrap();
    let text = uri.to_qr_text(Background::Light).unwrap();
    let picture = read_terminal(text.expose_secret(), Background::Light);
    assert_eq!(decode(&picture).as_deref(), Some(uri.to_uri().expose_secret()));
}
