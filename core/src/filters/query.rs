//! `query`: the query string, read into a record or as one value.
//!
//! The string is walked once; parameters that no field names are ignored. Everything that is wrong
//! with a record is reported in one refusal, so that a caller does not mend a request one parameter
//! at a time.

use crate::filters::Context;
use crate::filters::scalar::{Reader, Wrong};
use crate::percent::{Plus, decode};
use crate::plan::{self, PlanError};
use crate::reject::{Detail, Rejection, VALIDATION_ERROR};
use crate::value::Value;

#[derive(Debug)]
struct Field {
    name: Box<str>,
    reader: Reader,
    required: bool,
    many: bool,
}

/// A query record, compiled.
#[derive(Debug)]
pub struct Query {
    fields: Box<[Field]>,
}

/// One query parameter, compiled.
#[derive(Debug)]
pub struct QueryValue {
    field: Field,
}

// === impl Query ===

impl Query {
    /// Compiles the fields of a record; no two may have one name.
    pub fn build(fields: &[plan::Field]) -> Result<Self, PlanError> {
        for (index, field) in fields.iter().enumerate() {
            if fields.iter().take(index).any(|earlier| earlier.name == field.name) {
                let message = format!("the query has two fields named `{}`", field.name);
                return Err(PlanError::new(message));
            }
        }
        Ok(Self { fields: fields.iter().map(Field::build).collect::<Result<_, _>>()? })
    }

    /// Reads the query string and extracts the record.
    pub fn apply(&self, context: &mut Context<'_>) -> Result<(), Box<Rejection>> {
        let record = read(&self.fields, context)?;
        context.values.push(Value::Record(record));
        Ok(())
    }
}

// === impl QueryValue ===

impl QueryValue {
    /// Compiles the parameter.
    pub fn build(field: &plan::Field) -> Result<Self, PlanError> {
        Ok(Self { field: Field::build(field)? })
    }

    /// Reads the parameter and extracts its value; [`Value::None`] where it is neither given nor
    /// required.
    pub fn apply(&self, context: &mut Context<'_>) -> Result<(), Box<Rejection>> {
        let record = read(std::slice::from_ref(&self.field), context)?;
        let value = record.into_iter().next().flatten().unwrap_or(Value::None);
        context.values.push(value);
        Ok(())
    }
}

// === impl Field ===

impl Field {
    fn build(field: &plan::Field) -> Result<Self, PlanError> {
        Ok(Self {
            name: field.name.as_str().into(),
            reader: Reader::build(&field.kind)?,
            required: field.required,
            many: field.many,
        })
    }

    /// Reads one occurrence into the field's place.
    fn take(&self, text: &str, place: &mut Option<Value>) -> Result<(), Wrong> {
        if place.is_some() && !self.many {
            return Err(self.reader.repeated());
        }
        let text = decode(text, Plus::Space).map_err(|fault| self.reader.undecodable(fault))?;
        let value = self.reader.read(&text)?;
        match place {
            Some(Value::List(values)) => values.push(value),
            _ if self.many => *place = Some(Value::List(vec![value])),
            _ => *place = Some(value),
        }
        Ok(())
    }
}

/// Reads the fields of a query string in one walk; the refusal lists everything that is wrong. It
/// is `absent` where no field is given at all, so that `optional` lets that pass.
fn read(fields: &[Field], context: &Context<'_>) -> Result<Vec<Option<Value>>, Box<Rejection>> {
    let mut record: Vec<Option<Value>> = Vec::new();
    record.resize_with(fields.len(), || None);
    let mut details: Vec<Detail> = Vec::new();
    let query = context.parts.uri.query().unwrap_or_default();
    for pair in query.split('&') {
        let (name, text) = pair.split_once('=').unwrap_or((pair, ""));
        let Some((field, place)) = find(fields, &mut record, name) else { continue };
        if let Err(wrong) = field.take(text, place) {
            add(&mut details, wrong, &field.name);
        }
    }
    let absent = details.is_empty() && record.iter().all(Option::is_none);
    for (field, place) in fields.iter().zip(&record) {
        if field.required && place.is_none() && !known(&details, &field.name) {
            add(&mut details, field.reader.missing(), &field.name);
        }
    }
    if details.is_empty() { Ok(record) } else { Err(refuse(details, absent)) }
}

fn find<'f, 'p>(
    fields: &'f [Field],
    record: &'p mut [Option<Value>],
    name: &str,
) -> Option<(&'f Field, &'p mut Option<Value>)> {
    // A name that cannot be decoded is no field's.
    let name = decode(name, Plus::Space).ok()?;
    fields.iter().zip(record).find(|(field, _)| *field.name == *name)
}

/// Notes a wrong field; one note each is enough, and bounds the answer by the size of the record.
fn add(details: &mut Vec<Detail>, wrong: Wrong, name: &str) {
    if !known(details, name) {
        details.push(wrong.at("query", name));
    }
}

fn known(details: &[Detail], name: &str) -> bool {
    details.iter().any(|detail| detail.field == name)
}

#[cold]
fn refuse(mut details: Vec<Detail>, absent: bool) -> Box<Rejection> {
    let mut rejection = match details.pop() {
        Some(only) if details.is_empty() => Rejection::value(only),
        last => {
            details.extend(last);
            let names: Vec<&str> = details.iter().map(|detail| &*detail.field).collect();
            let sentence =
                format!("{} query parameters are wrong: {}", names.len(), names.join(", "));
            let mut rejection = Rejection::because(&VALIDATION_ERROR, sentence);
            rejection.status = 400;
            rejection.details = details;
            rejection
        }
    };
    rejection.absent = absent;
    rejection
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::filters::support::{Request, int, text};
    use crate::plan::Scalar;

    fn field(name: &str, kind: Scalar, required: bool, many: bool) -> plan::Field {
        plan::Field { name: name.into(), kind, required, many }
    }

    fn search() -> [plan::Field; 3] {
        [
            field("text", text(), true, false),
            field("limit", int(), false, false),
            field("tag", text(), false, true),
        ]
    }

    fn record(target: &str) -> Result<Vec<Option<Value>>, Box<Rejection>> {
        let query = Query::build(&search()).expect("a record that compiles");
        let mut values = Request::get(target).run(|context| query.apply(context))?;
        match values.pop() {
            Some(Value::Record(record)) => Ok(record),
            other => panic!("expected a record, got {other:?}"),
        }
    }

    fn value(field: &plan::Field, target: &str) -> Result<Vec<Value>, Box<Rejection>> {
        let value = QueryValue::build(field).expect("a parameter that compiles");
        Request::get(target).run(|context| value.apply(context))
    }

    #[test]
    fn a_query_is_read_into_the_places_of_its_record() {
        let record =
            record("/?limit=5&tag=a&text=hello+w%C3%B6rld%2B&unknown=%zz&tag=b&&").unwrap();

        assert!(matches!(&record[0], Some(Value::Text(text)) if &**text == "hello wörld+"));
        assert!(matches!(record[1], Some(Value::Int(5))));
        assert!(matches!(&record[2], Some(Value::List(tags)) if tags.len() == 2));
    }

    #[test]
    fn a_field_that_is_not_given_and_not_required_is_left_open() {
        let record = record("/?text=").unwrap();

        assert!(matches!(&record[0], Some(Value::Text(text)) if text.is_empty()));
        assert!(record[1].is_none() && record[2].is_none());
    }

    #[test]
    fn every_wrong_field_is_reported_at_once() {
        let rejection = record("/?limit=abc&limit=def&tag=%ff").unwrap_err();

        let fields: Vec<&str> = rejection.details.iter().map(|detail| &*detail.field).collect();
        assert_eq!(rejection.status, 400);
        assert_eq!(fields, ["limit", "tag", "text"]);
        assert_eq!(rejection.message, "3 query parameters are wrong: limit, tag, text");
        assert!(rejection.details.iter().all(|detail| detail.location == "query"));
        assert!(!rejection.absent);
    }

    #[test]
    fn one_wrong_field_is_named_in_the_sentence() {
        let rejection = record("/?text=a&limit=0x1").unwrap_err();

        assert_eq!(rejection.message, "query limit: expected int, got '0x1'");
    }

    #[test]
    fn a_single_parameter_given_twice_is_refused() {
        let rejection = record("/?text=a&text=b").unwrap_err();

        assert_eq!(rejection.status, 400);
        assert!(rejection.message.contains("more than once"), "{}", rejection.message);
    }

    #[test]
    fn a_record_of_which_nothing_is_given_is_absent() {
        assert!(record("/").unwrap_err().absent);
        assert!(record("/?other=1").unwrap_err().absent);
        assert!(!record("/?limit=1").unwrap_err().absent);
    }

    #[test]
    fn a_required_parameter_that_is_missing_is_absent() {
        let rejection = value(&field("page", int(), true, false), "/?pages=1").unwrap_err();

        assert_eq!((rejection.status, rejection.absent), (400, true));
        assert_eq!(rejection.message, "query page: expected int, but it is missing");
    }

    #[test]
    fn a_parameter_that_may_be_missing_is_none() {
        let values = value(&field("page", int(), false, false), "/").unwrap();

        assert!(matches!(values[..], [Value::None]));
    }

    #[test]
    fn the_name_of_a_parameter_is_decoded_too() {
        let values = value(&field("a b", int(), true, false), "/?a+%62=2").unwrap();

        assert!(matches!(values[..], [Value::Int(2)]));
    }

    #[test]
    fn two_fields_of_one_name_are_an_error_of_the_plan() {
        let twice = [field("a", int(), true, false), field("a", text(), true, false)];

        assert!(Query::build(&twice).is_err());
    }

    proptest! {
        #[test]
        fn no_query_makes_the_reader_panic(query in "[a-z%&=+0-9]{0,60}") {
            let _ = record(&format!("/?{query}"));
            let _ = record(&format!("/?text={query}&limit={query}"));
        }
    }
}
