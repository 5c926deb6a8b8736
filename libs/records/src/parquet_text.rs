//! Columns of Arrow arrays as text.

use std::borrow::Cow;
use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, StringBuilder, StructArray};
use arrow::buffer::NullBuffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::record::{Field, Reason, Value};
use crate::values::Nulls;

type Result<T> = std::result::Result<T, String>;

/// A wanted column of a batch.
#[derive(Debug)]
pub(crate) enum Column {
    /// The file lacks it.
    Absent,
    /// Single values, and the rows whose surrounding records are there.
    Single(Texts, Option<NullBuffer>),
    /// Lists: the texts of all items, where those of each row start and end, and the rows that have a list.
    Lists(Texts, Vec<(usize, usize)>, Option<NullBuffer>),
}

/// Values as text.
#[derive(Debug)]
pub(crate) struct Texts {
    text: StringArray,
    /// The rows that hold a value, whether it can be read or not.
    present: Option<NullBuffer>,
    /// True for bytes, which cannot be read where they are not UTF-8.
    bytes: bool,
}

impl Column {
    /// The column of `batch` that `path` leads to.
    pub(crate) fn new(batch: &RecordBatch, path: &[String]) -> Result<Column> {
        let absent = || "column is not there".to_string();
        let (first, inner) = path.split_first().ok_or_else(absent)?;
        let mut array = batch.column_by_name(first).ok_or_else(absent)?.clone();
        let mut around = None;
        for name in inner {
            let record: &StructArray = array.as_struct_opt().ok_or_else(absent)?;
            around = NullBuffer::union(around.as_ref(), record.nulls());
            array = record.column_by_name(name).ok_or_else(absent)?.clone();
        }
        Ok(match list_parts(&array) {
            Some((items, ranges)) => {
                let present = NullBuffer::union(around.as_ref(), array.nulls());
                Column::Lists(Texts::new(&items)?, ranges, present)
            }
            None => Column::Single(Texts::new(&array)?, around),
        })
    }

    /// The value of `field` in row `at`.
    #[inline]
    pub(crate) fn value<'a>(
        &'a self,
        field: &Field,
        at: usize,
        nulls: &Nulls,
    ) -> std::result::Result<Value<'a>, Reason> {
        match self {
            Column::Single(texts, around) if is_present(around.as_ref(), at) => {
                let text = texts.get(&field.name, at)?;
                Ok(text.map_or(Value::Missing, |text| nulls.value(Cow::Borrowed(text))))
            }
            Column::Lists(texts, ranges, present) if is_present(present.as_ref(), at) => {
                let (start, end) = ranges[at];
                let items = (start..end).map(|item| texts.get(&field.name, item));
                let items = items.collect::<std::result::Result<Vec<_>, _>>()?;
                let items = items.into_iter().map(|item| item.map(Cow::Borrowed));
                nulls.list(&field.name, field.lists, items).map_err(|problem| Reason::Malformed(problem.into()))
            }
            _ => Ok(Value::Missing),
        }
    }

    /// The value in row `at` as it is, for people; empty if there is none.
    pub(crate) fn shown(&self, at: usize) -> String {
        let text = |texts: &Texts, at| texts.get("", at).ok().flatten().unwrap_or_default().to_string();
        match self {
            Column::Single(texts, around) if is_present(around.as_ref(), at) => text(texts, at),
            Column::Lists(texts, ranges, present) if is_present(present.as_ref(), at) => {
                let items: Vec<String> = (ranges[at].0..ranges[at].1).map(|item| text(texts, item)).collect();
                items.join(" ")
            }
            _ => String::new(),
        }
    }
}

fn is_present(nulls: Option<&NullBuffer>, at: usize) -> bool {
    nulls.is_none_or(|nulls| nulls.is_valid(at))
}

/// The items of all lists, and where those of each list start and end.
fn list_parts(array: &ArrayRef) -> Option<(ArrayRef, Vec<(usize, usize)>)> {
    let ranges = |offsets: &[i32]| offsets.windows(2).map(|pair| (pair[0] as usize, pair[1] as usize)).collect();
    let large = |offsets: &[i64]| offsets.windows(2).map(|pair| (pair[0] as usize, pair[1] as usize)).collect();
    if let Some(list) = array.as_list_opt::<i32>() {
        return Some((list.values().clone(), ranges(list.offsets())));
    }
    if let Some(list) = array.as_list_opt::<i64>() {
        return Some((list.values().clone(), large(list.offsets())));
    }
    if let Some(list) = array.as_fixed_size_list_opt() {
        let length = list.value_length() as usize;
        return Some((list.values().clone(), (0..list.len()).map(|at| (at * length, (at + 1) * length)).collect()));
    }
    if let Some(list) = array.as_list_view_opt::<i32>() {
        let range = |(offset, size): (&i32, &i32)| (*offset as usize, (*offset + *size) as usize);
        return Some((list.values().clone(), list.offsets().iter().zip(list.sizes().iter()).map(range).collect()));
    }
    let list = array.as_list_view_opt::<i64>()?;
    let range = |(offset, size): (&i64, &i64)| (*offset as usize, (*offset + *size) as usize);
    Some((list.values().clone(), list.offsets().iter().zip(list.sizes().iter()).map(range).collect()))
}

impl Texts {
    fn new(values: &ArrayRef) -> Result<Texts> {
        let present = values.logical_nulls();
        let (text, present, bytes) = match values.data_type() {
            DataType::Utf8 => (values.as_string().clone(), present, false),
            DataType::Dictionary(_, inner) => return Texts::new(&cast(values, inner)?),
            DataType::Float16 | DataType::Float32 | DataType::Float64 => {
                let text = floats(values)?;
                let numbers = text.nulls().cloned();
                (text, numbers, false)
            }
            // Instants are in UTC whatever zone they are shown in.
            DataType::Timestamp(unit, Some(_)) => {
                let plain = cast(values, &DataType::Timestamp(*unit, None))?;
                let utc = cast(&plain, &DataType::Timestamp(*unit, Some("+00:00".into())))?;
                (utf8(&utc)?, present, false)
            }
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                (bytes_as_text(values)?, present, true)
            }
            _ => (utf8(values)?, present, false),
        };
        Ok(Texts { text, present, bytes })
    }

    #[inline]
    fn get(&self, name: &str, at: usize) -> std::result::Result<Option<&str>, Reason> {
        if self.text.is_valid(at) {
            return Ok(Some(self.text.value(at)));
        }
        match is_present(self.present.as_ref(), at) {
            false => Ok(None),
            true if self.bytes => Err(Reason::Binary("invalid UTF-8")),
            true => Err(Reason::Malformed(format!("{name} has a value that cannot be text").into())),
        }
    }
}

/// Casts; what cannot be cast becomes null.
fn cast(values: &dyn Array, to: &DataType) -> Result<ArrayRef> {
    cast_with_options(values, to, &CastOptions::default()).map_err(|e| e.to_string())
}

fn utf8(values: &dyn Array) -> Result<StringArray> {
    match cast(values, &DataType::Utf8) {
        Ok(text) => text.as_string_opt().cloned().ok_or_else(|| "values are not text".into()),
        // Some value cannot be text, such as an instant in the year 300,000; the others can.
        Err(_) => {
            let options = FormatOptions::default();
            let formatter = ArrayFormatter::try_new(values, &options).map_err(|e| e.to_string())?;
            let text = |at| values.is_valid(at).then(|| formatter.value(at).try_to_string().ok()).flatten();
            Ok((0..values.len()).map(text).collect())
        }
    }
}

fn bytes_as_text(values: &dyn Array) -> Result<StringArray> {
    let bytes = cast(values, &DataType::LargeBinary)?;
    let bytes = bytes.as_binary_opt::<i64>().ok_or("values are not bytes")?;
    Ok(bytes.iter().map(|bytes| bytes.and_then(|bytes| std::str::from_utf8(bytes).ok())).collect())
}

/// Numbers without an exponent, whole ones with one decimal place; none for NaN and infinity.
fn floats(values: &dyn Array) -> Result<StringArray> {
    if values.data_type() == &DataType::Float32 {
        // Digits of its own: 0.1 is another number as a wider float.
        let numbers = values.as_primitive_opt::<arrow::datatypes::Float32Type>().ok_or("values are no floats")?;
        return decimal(numbers.iter().map(|number| number.filter(|number| number.is_finite())));
    }
    let wide = cast(values, &DataType::Float64)?;
    let numbers = wide.as_primitive_opt::<Float64Type>().ok_or("values are no floats")?;
    decimal(numbers.iter().map(|number| number.filter(|number| number.is_finite())))
}

fn decimal<N: Copy + Into<f64> + std::fmt::Display>(numbers: impl Iterator<Item = Option<N>>) -> Result<StringArray> {
    let mut text = StringBuilder::new();
    for number in numbers {
        let Some(number) = number else {
            text.append_null();
            continue;
        };
        let written = match number.into() {
            0.0 => write!(text, "0.0"),
            wide if wide.fract() == 0.0 => write!(text, "{number}.0"),
            _ => write!(text, "{number}"),
        };
        written.map_err(|e| e.to_string())?;
        text.append_value("");
    }
    Ok(text.finish())
}
