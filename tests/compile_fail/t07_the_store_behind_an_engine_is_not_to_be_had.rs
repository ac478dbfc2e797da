//! Nobody goes around the engine through the engine.

fn records(engine: &mfa::Engine) {
    let _ = &engine.inner;
}

fn main() {}
