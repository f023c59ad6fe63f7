//! `scalar`: text from a path, a query string or a header, read as the type that the plan gives it.
//!
//! A [`Reader`] is compiled at start. What it refuses says what was expected and what was found, so
//! that a caller can mend a request without the source of the gateway.

mod time;

use std::fmt::Write;

use regex_lite::Regex;

use crate::plan::{PlanError, Scalar};
use crate::reject::Detail;
use crate::value::Value;

/// Characters of a wrong text that are shown to the caller.
const SHOWN: usize = 40;

/// A scalar of the plan, compiled.
#[derive(Debug)]
pub struct Reader {
    rule: Rule,
    /// What a message says was expected, such as `int >= 1`.
    expected: Box<str>,
}

#[derive(Debug)]
enum Rule {
    Int {
        ge: Option<i64>,
        le: Option<i64>,
    },
    Float {
        ge: Option<f64>,
        le: Option<f64>,
        gt: Option<f64>,
        lt: Option<f64>,
    },
    Bool,
    Text {
        min: Option<usize>,
        max: Option<usize>,
        pattern: Option<Regex>,
    },
    /// Sorted, for a binary search.
    Choice(Box<[Box<str>]>),
    Uuid,
    Datetime,
    Date,
}

/// Why a text is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// What it must be: `int`, `str`, ...
    pub kind: &'static str,
    /// The limit that it breaks, where it is of the kind but out of bounds.
    pub limit: Option<String>,
    /// A sentence with what was expected and what was found.
    pub message: String,
}

// === impl Wrong ===

impl Wrong {
    /// The same, with the place where the text was found.
    pub fn at(self, location: &'static str, field: &str) -> Detail {
        Detail {
            location: location.into(),
            field: field.to_owned().into(),
            kind: self.kind.into(),
            limit: self.limit,
            message: self.message,
        }
    }
}

// === impl Reader ===

impl Reader {
    /// Compiles a scalar; impossible bounds and wrong patterns are errors here, not at a request.
    pub fn build(scalar: &Scalar) -> Result<Self, PlanError> {
        let rule = Rule::build(scalar)?;
        let expected = expectation(scalar).into_boxed_str();
        Ok(Self { rule, expected })
    }

    /// What the text must be, in one word.
    pub fn kind(&self) -> &'static str {
        match self.rule {
            Rule::Int { .. } => "int",
            Rule::Float { .. } => "float",
            Rule::Bool => "bool",
            Rule::Text { .. } => "str",
            Rule::Choice(_) => "choice",
            Rule::Uuid => "uuid",
            Rule::Datetime => "datetime",
            Rule::Date => "date",
        }
    }

    /// Reads decoded text.
    pub fn read(&self, text: &str) -> Result<Value, Wrong> {
        match &self.rule {
            Rule::Int { ge, le } => self.read_int(text, *ge, *le),
            Rule::Float { .. } => self.read_float(text),
            Rule::Bool => match text {
                "true" | "1" => Ok(Value::Bool(true)),
                "false" | "0" => Ok(Value::Bool(false)),
                _ => Err(self.wrong(text, None)),
            },
            Rule::Text { min, max, pattern } => self.read_text(text, *min, *max, pattern.as_ref()),
            Rule::Choice(words) => {
                let known = words.binary_search_by(|word| (**word).cmp(text)).is_ok();
                self.keep(text, known)
            }
            Rule::Uuid => self.keep(text, is_uuid(text.as_bytes())),
            Rule::Date => self.keep(text, time::is_date(text.as_bytes())),
            // RFC 3339 allows `t` and `z`, which Python's `fromisoformat` does not read.
            Rule::Datetime if time::is_datetime(text.as_bytes()) => {
                Ok(Value::Text(text.to_ascii_uppercase().into()))
            }
            Rule::Datetime => Err(self.wrong(text, None)),
        }
    }

    /// What is wrong where the text is missing.
    pub fn missing(&self) -> Wrong {
        self.because(format!("expected {}, but it is missing", self.expected))
    }

    /// What is wrong where several texts are given for one value.
    pub fn repeated(&self) -> Wrong {
        self.because(format!(
            "expected one value, {}, but it is given more than once",
            self.expected
        ))
    }

    /// What is wrong where the text cannot be decoded; `fault` says why.
    pub fn undecodable(&self, fault: &str) -> Wrong {
        self.because(format!("expected {}, got {fault}", self.expected))
    }

    fn because(&self, message: String) -> Wrong {
        Wrong { kind: self.kind(), limit: None, message }
    }

    fn wrong(&self, text: &str, limit: Option<String>) -> Wrong {
        let message = format!("expected {}, got '{}'", self.expected, shown(text));
        Wrong { kind: self.kind(), limit, message }
    }

    fn keep(&self, text: &str, good: bool) -> Result<Value, Wrong> {
        if good { Ok(Value::Text(text.into())) } else { Err(self.wrong(text, None)) }
    }

    fn read_int(&self, text: &str, ge: Option<i64>, le: Option<i64>) -> Result<Value, Wrong> {
        let number = match text.parse::<i64>() {
            Ok(number) if !text.starts_with('+') => number,
            _ => return Err(self.wrong(text, None)),
        };
        let broken = ge
            .filter(|least| number < *least)
            .map(|least| format!(">= {least}"))
            .or_else(|| le.filter(|most| number > *most).map(|most| format!("<= {most}")));
        match broken {
            None => Ok(Value::Int(number)),
            limit => Err(self.wrong(text, limit)),
        }
    }

    fn read_float(&self, text: &str) -> Result<Value, Wrong> {
        // Rust also reads `inf`, `nan` and a leading plus, none of which is a decimal number here.
        let decimal =
            text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'));
        let number = match text.parse::<f64>() {
            Ok(number) if decimal && number.is_finite() && !text.starts_with('+') => number,
            _ => return Err(self.wrong(text, None)),
        };
        match self.rule.broken_by(number) {
            None => Ok(Value::Float(number)),
            limit => Err(self.wrong(text, limit)),
        }
    }

    fn read_text(
        &self,
        text: &str,
        min: Option<usize>,
        max: Option<usize>,
        pattern: Option<&Regex>,
    ) -> Result<Value, Wrong> {
        if min.is_some() || max.is_some() {
            let length = text.chars().count();
            if let Some(least) = min.filter(|least| length < *least) {
                return Err(self.wrong(text, Some(format!("length >= {least}"))));
            }
            if let Some(most) = max.filter(|most| length > *most) {
                return Err(self.wrong(text, Some(format!("length <= {most}"))));
            }
        }
        if let Some(pattern) = pattern.filter(|pattern| !pattern.is_match(text)) {
            return Err(self.wrong(text, Some(format!("pattern {}", pattern.as_str()))));
        }
        Ok(Value::Text(text.into()))
    }
}

// === impl Rule ===

impl Rule {
    fn build(scalar: &Scalar) -> Result<Self, PlanError> {
        Ok(match scalar {
            Scalar::Int { ge, le } => {
                ordered(*ge, *le, "an int")?;
                Self::Int { ge: *ge, le: *le }
            }
            Scalar::Float { ge, le, gt, lt } => {
                if [ge, le, gt, lt].into_iter().flatten().any(|bound| bound.is_nan()) {
                    return Err(PlanError::new("a bound of a float is not a number"));
                }
                ordered(*ge, *le, "a float")?;
                Self::Float { ge: *ge, le: *le, gt: *gt, lt: *lt }
            }
            Scalar::Bool {} => Self::Bool,
            Scalar::Str { min_length, max_length, pattern } => {
                ordered(*min_length, *max_length, "the length of a str")?;
                let pattern = pattern.as_deref().map(compile).transpose()?;
                Self::Text { min: *min_length, max: *max_length, pattern }
            }
            Scalar::Choice { values } if values.is_empty() => {
                return Err(PlanError::new("a choice lists no values"));
            }
            Scalar::Choice { values } => {
                let mut words: Vec<Box<str>> =
                    values.iter().map(|word| word.as_str().into()).collect();
                words.sort_unstable();
                Self::Choice(words.into())
            }
            Scalar::Uuid {} => Self::Uuid,
            Scalar::Datetime {} => Self::Datetime,
            Scalar::Date {} => Self::Date,
        })
    }

    fn broken_by(&self, number: f64) -> Option<String> {
        let Self::Float { ge, le, gt, lt } = self else { return None };
        let limits = [
            (">=", ge, ge.is_some_and(|bound| number < bound)),
            ("<=", le, le.is_some_and(|bound| number > bound)),
            (">", gt, gt.is_some_and(|bound| number <= bound)),
            ("<", lt, lt.is_some_and(|bound| number >= bound)),
        ];
        limits
            .into_iter()
            .find(|(_, _, broken)| *broken)
            .and_then(|(sign, bound, _)| bound.map(|bound| format!("{sign} {bound}")))
    }
}

fn ordered<T: PartialOrd>(least: Option<T>, most: Option<T>, what: &str) -> Result<(), PlanError> {
    match (least, most) {
        (Some(least), Some(most)) if least > most => {
            Err(PlanError::new(format!("the least value of {what} is above its greatest")))
        }
        _ => Ok(()),
    }
}

fn compile(pattern: &str) -> Result<Regex, PlanError> {
    Regex::new(pattern)
        .map_err(|error| PlanError::new(format!("the pattern `{pattern}` cannot be read: {error}")))
}

fn expectation(scalar: &Scalar) -> String {
    fn join<T: std::fmt::Display>(kind: &str, limits: &[(&str, &Option<T>)]) -> String {
        let mut text = kind.to_owned();
        let given =
            limits.iter().filter_map(|(sign, limit)| limit.as_ref().map(|limit| (sign, limit)));
        for (index, (sign, limit)) in given.enumerate() {
            let link = if index == 0 { "" } else { " and" };
            // Writing to a string does not fail.
            let _ = write!(text, "{link} {sign} {limit}");
        }
        text
    }
    match scalar {
        Scalar::Int { ge, le } => join("int", &[(">=", ge), ("<=", le)]),
        Scalar::Float { ge, le, gt, lt } => {
            join("float", &[(">=", ge), ("<=", le), (">", gt), ("<", lt)])
        }
        Scalar::Bool {} => "bool (true, false, 1 or 0)".to_owned(),
        Scalar::Str { min_length, max_length, pattern } => {
            let text = join("str", &[("of length >=", min_length), ("of length <=", max_length)]);
            pattern.iter().fold(text, |text, pattern| format!("{text} matching {pattern}"))
        }
        Scalar::Choice { values } => format!("one of {}", values.join(", ")),
        Scalar::Uuid {} => "uuid".to_owned(),
        Scalar::Datetime {} => "datetime (RFC 3339, with an offset)".to_owned(),
        Scalar::Date {} => "date (YYYY-MM-DD)".to_owned(),
    }
}

/// Hyphens at the four places of RFC 9562, hex digits elsewhere.
fn is_uuid(text: &[u8]) -> bool {
    text.len() == 36
        && text.iter().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// What a message may repeat of a caller's text: its beginning, without control characters, which
/// could forge lines of a log or a terminal.
fn shown(text: &str) -> String {
    let mut characters = text.chars();
    let mut shown: String = characters
        .by_ref()
        .take(SHOWN)
        .map(|character| if character.is_control() { '\u{fffd}' } else { character })
        .collect();
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reader(scalar: &Scalar) -> Reader {
        Reader::build(scalar).expect("a scalar that compiles")
    }

    fn int(ge: Option<i64>, le: Option<i64>) -> Reader {
        reader(&Scalar::Int { ge, le })
    }

    fn float() -> Scalar {
        Scalar::Float { ge: None, le: None, gt: None, lt: None }
    }

    fn string(
        min_length: Option<usize>,
        max_length: Option<usize>,
        pattern: Option<&str>,
    ) -> Scalar {
        Scalar::Str { min_length, max_length, pattern: pattern.map(str::to_owned) }
    }

    fn every_scalar() -> Vec<Scalar> {
        vec![
            Scalar::Int { ge: Some(1), le: Some(9) },
            Scalar::Float { ge: Some(0.0), le: Some(5.0), gt: None, lt: Some(4.0) },
            Scalar::Bool {},
            string(Some(1), Some(3), Some("^[a-z]+$")),
            Scalar::Choice { values: vec!["up".into(), "down".into()] },
            Scalar::Uuid {},
            Scalar::Datetime {},
            Scalar::Date {},
        ]
    }

    #[test]
    fn an_int_below_its_limit_names_kind_limit_and_what_was_found() {
        let wrong = int(Some(1), None).read("0").unwrap_err();

        assert_eq!(wrong.kind, "int");
        assert_eq!(wrong.limit.as_deref(), Some(">= 1"));
        assert_eq!(wrong.message, "expected int >= 1, got '0'");
    }

    #[test]
    fn an_int_above_its_limit_names_that_limit() {
        let wrong = int(Some(1), Some(9)).read("10").unwrap_err();

        assert_eq!(wrong.limit.as_deref(), Some("<= 9"));
        assert_eq!(wrong.message, "expected int >= 1 and <= 9, got '10'");
    }

    #[test]
    fn an_int_has_no_plus_space_underscore_fraction_or_65th_bit() {
        for text in ["", "+1", " 1", "1 ", "1_000", "1.0", "0x1", "-", "9223372036854775808", "١"]
        {
            assert!(int(None, None).read(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_float_is_finite_and_decimal() {
        for text in ["", "inf", "-inf", "NaN", "infinity", "1e999", "+1", "1,5", " 1", "e"] {
            assert!(reader(&float()).read(text).is_err(), "{text:?}");
        }
        let value = reader(&float()).read("-1.5e3");
        assert!(matches!(value, Ok(Value::Float(number)) if (number + 1500.0).abs() < 1e-9));
    }

    #[test]
    fn a_float_keeps_out_what_an_exclusive_limit_excludes() {
        let open = reader(&Scalar::Float { ge: None, le: None, gt: Some(0.0), lt: Some(1.0) });

        assert_eq!(open.read("0").unwrap_err().limit.as_deref(), Some("> 0"));
        assert_eq!(open.read("1").unwrap_err().limit.as_deref(), Some("< 1"));
        assert!(open.read("0.5").is_ok());
    }

    #[test]
    fn a_bool_is_one_of_four_words() {
        let bool = reader(&Scalar::Bool {});

        assert!(matches!(bool.read("1"), Ok(Value::Bool(true))));
        assert!(matches!(bool.read("false"), Ok(Value::Bool(false))));
        assert!(bool.read("True").is_err() && bool.read("yes").is_err() && bool.read("").is_err());
    }

    #[test]
    fn the_length_of_a_str_is_counted_in_characters() {
        let three = reader(&string(Some(3), Some(3), None));

        assert!(three.read("äöü").is_ok());
        assert_eq!(three.read("äö").unwrap_err().limit.as_deref(), Some("length >= 3"));
        assert_eq!(three.read("äöüß").unwrap_err().limit.as_deref(), Some("length <= 3"));
    }

    #[test]
    fn a_pattern_that_does_not_match_is_named() {
        let wrong = reader(&string(None, None, Some("^[a-z]+$"))).read("A").unwrap_err();

        assert_eq!(wrong.message, "expected str matching ^[a-z]+$, got 'A'");
    }

    #[test]
    fn a_choice_takes_its_words_and_names_them() {
        let choice = reader(&Scalar::Choice { values: vec!["up".into(), "down".into()] });

        assert!(choice.read("up").is_ok() && choice.read("down").is_ok());
        assert_eq!(choice.read("Up").unwrap_err().message, "expected one of up, down, got 'Up'");
    }

    #[test]
    fn a_uuid_is_hyphenated_hex() {
        let uuid = reader(&Scalar::Uuid {});

        assert!(uuid.read("6ba7b810-9dad-11d1-80b4-00c04fd430C8").is_ok());
        for text in [
            "6ba7b8109dad11d180b400c04fd430c8",
            "6ba7b810-9dad-11d1-80b4-00c04fd430cg",
            "{6ba7b810-9dad-11d1-80b4-00c04fd430c}",
            "6ba7b810-9dad-11d1-80b4-00c04fd430c",
        ] {
            assert!(uuid.read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_datetime_is_extracted_as_python_reads_it() {
        let value = reader(&Scalar::Datetime {}).read("2024-02-29t23:59:59.5z");

        assert!(matches!(value, Ok(Value::Text(text)) if &*text == "2024-02-29T23:59:59.5Z"));
    }

    #[test]
    fn what_was_found_is_cut_and_shown_without_control_characters() {
        let long = int(None, None).read(&"x".repeat(1000)).unwrap_err();
        let forged = int(None, None).read("1\r\n\u{1b}[2J").unwrap_err();

        assert_eq!(long.message, format!("expected int, got '{}…'", "x".repeat(40)));
        assert!(!forged.message.chars().any(char::is_control));
    }

    #[test]
    fn impossible_scalars_are_errors_of_the_plan() {
        for scalar in [
            Scalar::Int { ge: Some(2), le: Some(1) },
            Scalar::Float { ge: Some(f64::NAN), le: None, gt: None, lt: None },
            Scalar::Float { ge: Some(2.0), le: Some(1.0), gt: None, lt: None },
            Scalar::Choice { values: vec![] },
            string(Some(2), Some(1), None),
            string(None, None, Some("(")),
        ] {
            assert!(Reader::build(&scalar).is_err(), "{scalar:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_reader_panic_or_echo_control_characters(text in any::<String>()) {
            for scalar in every_scalar() {
                if let Err(wrong) = reader(&scalar).read(&text) {
                    prop_assert!(!wrong.message.chars().any(char::is_control));
                    prop_assert!(wrong.message.chars().count() < 120);
                }
            }
        }

        #[test]
        fn every_int_reads_back(number in any::<i64>()) {
            let value = int(None, None).read(&number.to_string());
            prop_assert!(matches!(value, Ok(Value::Int(read)) if read == number));
        }

        #[test]
        fn every_finite_float_reads_back(number in proptest::num::f64::NORMAL) {
            let value = reader(&float()).read(&format!("{number:e}"));
            let Ok(Value::Float(read)) = value else { panic!("expected a float, got {value:?}") };
            prop_assert_eq!(read.to_bits(), number.to_bits());
        }

        #[test]
        fn every_text_within_its_limits_reads_back(text in ".{0,20}") {
            let value = reader(&string(None, Some(20), None)).read(&text);
            prop_assert!(matches!(value, Ok(Value::Text(read)) if *read == *text));
        }

        #[test]
        fn limits_divide_the_ints(number in any::<i64>(), ge in any::<i64>(), span in 0..1000_i64) {
            let le = ge.saturating_add(span);
            let passed = int(Some(ge), Some(le)).read(&number.to_string()).is_ok();
            prop_assert_eq!(passed, (ge..=le).contains(&number));
        }
    }
}
