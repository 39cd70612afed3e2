//! The migrations are embedded: without this, cargo would not notice a new one.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
