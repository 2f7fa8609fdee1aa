use super::*;

fn tree(text: &str) -> Arc<Node> {
    let (root, problems) = read(text);
    assert_eq!(problems, [], "{text}");
    root.expect("there is something in it")
}

fn refused(text: &str) -> Vec<Problem> {
    let (_, problems) = read(text);
    assert!(!problems.is_empty(), "{text:?} was taken");
    problems
}

#[test]
fn every_node_knows_where_it_stands() {
    let root = tree("a:\n  b: [x, {ü: 'yy'}]\n");
    let list = root.get("a").and_then(|a| a.get("b")).expect("b");
    let place = |line, column, width| Place { line, column, width };
    assert_eq!(list.place.line, 2);
    assert_eq!(list.items().expect("a list")[0].place, place(2, 7, 1));
    let inner = &list.items().expect("a list")[1];
    assert_eq!(inner.entries().expect("a mapping")[0].key_place, place(2, 11, 1));
    assert_eq!(inner.get("ü").expect("the key").place, place(2, 14, 4));
}

#[test]
fn off_on_yes_and_no_are_words_and_true_and_false_are_not() {
    let root = tree(
        "[off, on, yes, no, Off, 'true', \"1\", true, FALSE, 1, 0x1F, -2.5e1, ~, null, '', 12345678901234567890123]",
    );
    let described: Vec<String> = root
        .items()
        .expect("a list")
        .iter()
        .map(|item| item.described())
        .collect();
    assert_eq!(
        described,
        [
            "the text \"off\"",
            "the text \"on\"",
            "the text \"yes\"",
            "the text \"no\"",
            "the text \"Off\"",
            "the text \"true\"",
            "the text \"1\"",
            "true",
            "FALSE",
            "the number 1",
            "the number 0x1F",
            "the number -2.5e1",
            "nothing",
            "nothing",
            "the text \"\"",
            "the number 12345678901234567890123",
        ]
    );
}

#[test]
fn numbers_are_those_of_the_core_schema() {
    for (text, number) in [
        ("12", Some(12)),
        ("+12", Some(12)),
        ("-12", Some(-12)),
        ("0o17", Some(15)),
        ("0xff", Some(255)),
        ("0x-1", None),
        ("--1", None),
        ("1_000", None),
        ("1.0", None),
        ("'1'", None),
    ] {
        assert_eq!(
            tree(&format!("- {text}")).items().expect("a list")[0]
                .scalar()
                .and_then(Scalar::integer),
            number,
            "{text}"
        );
    }
    for (text, number) in [
        ("1.5", Some(1.5)),
        (".5", Some(0.5)),
        ("1e3", Some(1000.0)),
        (".inf", None),
        ("inf", None),
        ("1e999", None),
    ] {
        assert_eq!(
            tree(&format!("- {text}")).items().expect("a list")[0]
                .scalar()
                .and_then(Scalar::number),
            number,
            "{text}"
        );
    }
}

#[test]
fn a_key_twice_is_told_and_the_rest_is_still_read() {
    let problems = refused("a:\n  b: 1\n  b: 2\n  c: {d: 1, d: 2}\n");
    let told: Vec<_> = problems
        .iter()
        .map(|problem| (problem.path(), problem.line()))
        .collect();
    assert_eq!(told, [("a.b", 3), ("a.c.d", 4)]);
}

#[test]
fn an_alias_is_what_it_stands_for() {
    let root = tree("a: &x {p: 1}\nb: *x\n");
    assert_eq!(
        root.get("b").and_then(|b| b.get("p")).map(Node::described),
        Some("the number 1".to_owned())
    );
    assert!(
        refused("a: &x [*x]\n")[0]
            .found()
            .contains("inside of what it stands for")
    );
}

#[test]
fn aliases_of_aliases_do_not_grow_beyond_bounds() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..30 {
        let before = format!("*a{}", n - 1);
        let members = [before.as_str(); 9].join(", ");
        text.push_str(&format!("a{n}: &a{n} [{members}]\n"));
    }
    assert!(
        refused(&text)[0]
            .found()
            .contains("counting what aliases stand for")
    );
}

#[test]
fn nesting_has_a_limit() {
    for text in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000)] {
        let problems = refused(&text);
        let found = problems[0].found();
        assert!(
            found.contains("inside of each other") || found.contains("recursion limit"),
            "{found}"
        );
    }
    tree(&format!("{}{}", "[".repeat(60), "]".repeat(60)));
}

#[test]
fn documents_of_one_stream_are_one_file() {
    let root = tree("---\na: 1\n---\nb: 2\n...\n");
    assert_eq!(root.entries().map(<[_]>::len), Some(2));
    let problems = refused("a: 1\n---\na: 2\n");
    assert_eq!((problems[0].path(), problems[0].line()), ("a", 3));
    assert!(
        refused("a: 1\n---\n- 2\n")[0]
            .expected()
            .contains("each document")
    );
}

#[test]
fn what_no_text_has_is_told_with_its_place() {
    let problems = refused("a: 1\nb: x\0y\n");
    assert_eq!((problems[0].line(), problems[0].column()), (2, 5));
    assert!(problems[0].found().contains("U+0000"));
    tree("\u{feff}a: 1\r\nb: 2\r\n");
}

#[test]
fn tags_and_keys_that_are_no_words_are_refused() {
    assert!(refused("a: !secret x\n")[0].found().contains("tag"));
    assert!(refused("{[a]: b}\n")[0].found().contains("as a key"));
    assert_eq!(tree("- !!str 5").items().expect("a list")[0].text(), Some("5"));
}

#[test]
fn a_syntax_error_has_a_place() {
    let problems = refused("a:\n  - b\n c: d\n");
    assert_eq!(problems[0].line(), 3);
    assert!(
        problems[0].found().starts_with("a syntax error"),
        "{}",
        problems[0].found()
    );
}
