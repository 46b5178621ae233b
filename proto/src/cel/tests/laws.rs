//! Whatever the text and the values: an answer or a fault, the same each time, within the budget.

use super::{Agent, BTreeMap, COST_MAX, Cost, Program, Value, agent, names};
use proptest::prelude::*;

/// Words that make a text likely to be an expression.
const WORDS: [&str; 80] = [
    "late",
    "at",
    "speed",
    "recent",
    "means",
    "tags",
    "event",
    "agent",
    "here",
    "sender",
    "now",
    "x",
    "y",
    "1",
    "2u",
    "0.5",
    "-",
    "!",
    "+",
    "*",
    "/",
    "%",
    "==",
    "!=",
    "<",
    ">=",
    "in",
    "&&",
    "||",
    "?",
    ":",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ".",
    ".?",
    "[?",
    "'a'",
    "\"b\"",
    "b'c'",
    "r'\\d'",
    "null",
    "true",
    "false",
    "size(",
    ".map(x,",
    ".filter(x,",
    ".all(x,",
    ".exists(y,",
    ".exists_one(x,",
    ".optMap(x,",
    ".orValue(",
    ".sortBy(x,",
    "optional.of(",
    "math.greatest(",
    "string(",
    "int(",
    "timestamp(",
    "duration(",
    ".matches(",
    ".format(",
    ".split(",
    ".sort()",
    ".distinct()",
    ".all(x,y,",
    ".transformList(x,y,",
    ".transformMap(x,y,",
    ".transformMapEntry(x,y,",
    "cel.bind(x,",
    "math.pow(",
    "geo.distance(",
    "and",
    "has(",
    "type(",
    "é",
    "`",
];

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::collection::vec(prop::sample::select(&WORDS[..]), 1..40).prop_map(|words| words.join(" ")),
        prop::collection::vec(prop::sample::select(&WORDS[..]), 1..40).prop_map(|words| words.concat()),
        ".{1,60}",
    ]
}

const FUNCTIONS: &[&str] = &[
    "size",
    "string",
    "int",
    "uint",
    "double",
    "bool",
    "bytes",
    "type",
    "dyn",
    "duration",
    "timestamp",
    "segment",
    "math.abs",
    "math.sign",
    "math.ceil",
    "math.sqrt",
    "math.exp",
    "math.log",
    "math.sin",
    "math.cos",
    "math.isNaN",
    "math.bitNot",
    "math.greatest",
    "optional.of",
    "optional.ofNonZeroValue",
    "base64.encode",
    "base64.decode",
    "lists.range",
    "strings.quote",
    "-",
    "!",
];
const METHODS: &[&str] = &[
    "trim",
    "reverse",
    "lowerAscii",
    "join",
    "sort",
    "distinct",
    "flatten",
    "first",
    "last",
    "value",
    "hasValue",
    "getHours",
    "getDate",
    "getMilliseconds",
];
const METHODS_OF_ONE: &[&str] = &[
    "contains",
    "startsWith",
    "endsWith",
    "indexOf",
    "lastIndexOf",
    "charAt",
    "substring",
    "split",
    "join",
    "matches",
    "format",
    "or",
    "orValue",
    "getHours",
    "flatten",
];

/// Texts that compile, most of them.
fn expressions() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(
            &["late", "at", "speed", "recent", "means", "tags", "event", "agent.code", "here", "now"][..]
        )
        .prop_map(str::to_owned),
        any::<i64>().prop_map(|int| format!("({int})")),
        (-9_i64..9).prop_map(|int| format!("({int})")),
        any::<f64>()
            .prop_filter("finite", |double| double.is_finite())
            .prop_map(|double| format!("({double:?})")),
        (0_u64..9).prop_map(|uint| format!("{uint}u")),
        "'[a-cé%sd]{0,40}'",
        prop::sample::select(
            &["null", "true", "b'ab'", "duration('90m')", "timestamp(0)", "int", "optional.none()"][..]
        )
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        let one = prop::sample::select(FUNCTIONS);
        let method = prop::sample::select(METHODS);
        let two = prop::sample::select(
            &["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", " in ", "&&", "||"][..],
        );
        let with_one = prop::sample::select(METHODS_OF_ONE);
        let walks = prop::sample::select(
            &["map", "filter", "all", "exists", "exists_one", "sortBy", "optMap", "optFlatMap"][..],
        );
        let transforms = &["transformList", "transformMap", "transformMapEntry"][..];
        let pairs =
            prop::sample::select(&["all", "exists", "exists_one", "transformList", "transformMap"][..]);
        let filtered = prop::sample::select(transforms);
        let curves = prop::sample::select(&["math.pow", "math.atan2"][..]);
        prop_oneof![
            (one, inner.clone()).prop_map(|(name, of)| format!("{name}({of})")),
            (method, inner.clone()).prop_map(|(name, of)| format!("({of}).{name}()")),
            (two, inner.clone(), inner.clone()).prop_map(|(op, a, b)| format!("({a}{op}{b})")),
            (with_one, inner.clone(), inner.clone()).prop_map(|(name, of, a)| format!("({of}).{name}({a})")),
            (walks, inner.clone(), inner.clone())
                .prop_map(|(name, of, a)| format!("({of}).{name}(late,{a})")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a}?{b}:{c})")),
            (pairs, inner.clone(), inner.clone())
                .prop_map(|(name, of, a)| format!("({of}).{name}(late,speed,{a})")),
            (filtered, inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(name, of, test, a)| format!("({of}).{name}(late,speed,{test},{{{a}:late}})")),
            (inner.clone(), inner.clone()).prop_map(|(value, a)| format!("cel.bind(late,{value},{a})")),
            (curves, inner.clone(), inner.clone()).prop_map(|(name, a, b)| format!("{name}({a},{b})")),
            (inner.clone(), inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c, d)| format!("geo.distance({a},{b},{c},{d})")),
            (inner.clone(), inner.clone()).prop_map(|(of, key)| format!("({of})[{key}]")),
            (inner.clone(), inner.clone()).prop_map(|(of, key)| format!("({of})[?{key}]")),
            (inner.clone(), "[a-c]").prop_map(|(of, name)| format!("({of}).?{name}")),
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((inner.clone(), inner), 0..4).prop_map(|entries| {
                let entries: Vec<String> =
                    entries.iter().map(|(key, value)| format!("{key}:{value}")).collect();
                format!("{{{}}}", entries.join(","))
            }),
        ]
    })
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-3_i64..3).prop_map(Value::Int),
        any::<f64>().prop_filter_map("finite", Value::number),
        ".{0,30}".prop_map(|text| Value::text(&text)),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::list),
            prop::collection::btree_map("[a-d]", inner, 0..4).prop_map(|members| {
                let members: Vec<_> = members.into_iter().map(|(name, value)| (name.into(), value)).collect();
                Value::record(members)
            }),
        ]
    })
}

fn agents() -> impl Strategy<Value = Agent> {
    let entries = || prop::collection::btree_map(values(), values(), 0..5);
    (prop::collection::vec(values(), 6), entries(), entries(), values()).prop_map(
        |(values, recent, means, event)| {
            let none = BTreeMap::new;
            let maps = vec![none(), none(), none(), recent, means, none()];
            Agent { values, maps, event, parameters: agent().parameters }
        },
    )
}

proptest! {
    #[test]
    fn any_text_compiles_or_is_an_error_at_a_place_in_it(text in texts()) {
        if let Err(error) = Program::compile(&text, &names()) {
            prop_assert!((1..=text.chars().count() + 1).contains(&error.at), "{} of {text}", error.at);
            prop_assert!(!error.error.is_empty() && !error.error.contains("Error"), "{}", error.error);
        }
    }

    #[test]
    fn an_expression_gives_the_same_answer_each_time_and_within_its_budget(
        text in expressions(), agent in agents(), budget in 0..3_000_u32,
    ) {
        let Ok(program) = Program::compile(&text, &names()) else { return Ok(()) };
        let mut cost = Cost(budget);
        let first = program.run(&agent, &mut cost);
        prop_assert!(cost.0 <= budget);
        let mut again = Cost(budget);
        prop_assert_eq!(&program.run(&agent, &mut again), &first);
        prop_assert_eq!(again.0, cost.0);
        if let Ok(value) = first {
            prop_assert!(value.depth() <= crate::value::DEPTH_MAX);
            // More to spend changes nothing.
            prop_assert_eq!(program.run(&agent, &mut Cost(COST_MAX)), Ok(value));
        }
    }
}
