//! One grant, one session.

fn twice<T: Clone>() {}

fn main() {
    twice::<mfa::Grant>();
}
