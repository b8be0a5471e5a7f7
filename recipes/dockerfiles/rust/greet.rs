//! Greets whom it is told to.

fn main() {
    let whom: Vec<String> = std::env::args().skip(1).collect();
    println!("Hello, {}!", whom.join(" and "));
}
