//! What retries do to a service that has too much to do already, and to a tree of calls of which a leaf fails; simulated
//! in virtual time. Run it with `cargo run -p mesh-traffic --example overload`.

mod dependency;
mod tree;

use dependency::{Overload, overload};
use tree::{Answers, Tree, call_tree};

#[expect(clippy::print_stdout, reason = "what it is for")]
#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    println!("A dependency that can do 200 requests a second gets 400, for twenty seconds.");
    println!("A refusal costs it a twentieth of a request; callers try again up to ten times.\n");
    println!("{:<24} {:>10} {:>10}", "", "goodput", "asked");
    for (name, budget) in [
        ("without retries", None),
        ("within the budget", Some(true)),
        ("without a budget", Some(false)),
    ] {
        let Overload { goodput, asked } = overload(budget).await;
        println!("{name:<24} {:>8.0} % {:>8.0} %", 100.0 * goodput, 100.0 * asked);
    }
    println!("\nBoth in percent of what it can do: what callers got, and what it was asked.\n");

    println!(
        "client -> a -> b -> c, each call with up to two retries; 200 requests a second for twenty seconds.\n"
    );
    println!(
        "{:<44} {:>10} {:>10}",
        "requests, compared with none being retried", "all", "to c"
    );
    for (name, failing, answers) in [
        ("nothing fails", 0.0, Answers::PassedOn),
        ("c fails every tenth time", 0.1, Answers::PassedOn),
        ("c fails every second time", 0.5, Answers::PassedOn),
        ("c fails", 1.0, Answers::PassedOn),
        ("c fails, and answers are not passed on", 1.0, Answers::TheirOwn),
    ] {
        let Tree { all, leaf } = call_tree(failing, answers, true).await;
        println!("{name:<44} {all:>10.2} {leaf:>10.2}");
    }
    let Tree { all, leaf } = call_tree(1.0, Answers::TheirOwn, false).await;
    println!(
        "{:<44} {all:>10.2} {leaf:>10.2}",
        "c fails, and each layer tries as it likes"
    );
}
