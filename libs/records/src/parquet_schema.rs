//! Wanted fields in the schema of a Parquet file.

use arrow::compute::can_cast_types;
use arrow::datatypes::{DataType, FieldRef, Fields, Schema};

use crate::error::{Error, Result};
use crate::raw_file::RawFile;
use crate::record::{Field, Lists, is_below_list, is_list, is_list_of_records, is_record, missing_field, names};

/// The names of the columns, those of records field by field.
pub(crate) fn columns_of(schema: &Schema) -> Vec<String> {
    let mut found = Vec::new();
    add_columns(schema.fields(), "", &mut found);
    found
}

fn add_columns(fields: &Fields, prefix: &str, found: &mut Vec<String>) {
    for field in fields {
        let name = format!("{prefix}{}", field.name());
        match field.data_type() {
            DataType::Struct(inner) => add_columns(inner, &format!("{name}."), found),
            _ => found.push(name),
        }
    }
}

/// The names that lead to the wanted `field`: its own, or those of its path. None if the file lacks it.
pub(crate) fn resolve(file: &RawFile, schema: &Schema, field: &Field) -> Result<Option<Vec<String>>> {
    let found = match one_of(file, schema.fields(), &field.name, field)? {
        Some(column) => Some((vec![field.name.clone()], column)),
        None => by_path(file, schema, field)?,
    };
    match found {
        Some((path, column)) => {
            let expected = |problem: String| file.bad(problem);
            check_type(field, column.data_type()).map_err(expected)?;
            Ok(Some(path))
        }
        None if field.required => {
            let found = columns_of(schema);
            Err(missing_field(file, &field.name, &names(found.iter().map(String::as_str))))
        }
        None => Ok(None),
    }
}

fn by_path<'s>(file: &RawFile, schema: &'s Schema, field: &Field) -> Result<Option<(Vec<String>, &'s FieldRef)>> {
    let path: Vec<String> = field.name.split('.').map(String::from).collect();
    let mut fields = schema.fields();
    let mut column = None;
    for (at, name) in path.iter().enumerate() {
        if let Some(outer) = column {
            let outer: &FieldRef = outer;
            match outer.data_type() {
                DataType::Struct(inner) => fields = inner,
                other if item(other).is_some() || matches!(other, DataType::Map(..)) => {
                    return Err(file.bad(is_below_list(&field.name, &path[..at].join("."))));
                }
                _ => return Ok(None),
            }
        }
        column = one_of(file, fields, name, field)?;
        if column.is_none() {
            return Ok(None);
        }
    }
    Ok(column.map(|column| (path, column)))
}

fn one_of<'s>(file: &RawFile, fields: &'s Fields, name: &str, wanted: &Field) -> Result<Option<&'s FieldRef>> {
    let mut named = fields.iter().filter(|field| field.name() == name);
    let first = named.next();
    if named.next().is_some() {
        let problem = format!("expected one column `{}`, found several; rename them", wanted.name);
        return Err::<_, Error>(file.bad(problem));
    }
    Ok(first)
}

/// The type of the items of a list type.
fn item(list: &DataType) -> Option<&DataType> {
    match list {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => Some(item.data_type()),
        _ => None,
    }
}

fn check_type(field: &Field, column: &DataType) -> std::result::Result<(), String> {
    let name = &field.name;
    match (column, item(column)) {
        (DataType::Struct(inner), _) => Err(is_record(name, inner.first().map(|field| field.name().as_str()))),
        (DataType::Map(..), _) => Err(format!("{name} is not a single value: it is a map; write it as columns")),
        (_, Some(_)) if field.lists == Lists::Refused => Err(is_list(name)),
        (_, Some(item)) if is_single(item) => Ok(()),
        (_, Some(_)) => Err(is_list_of_records(name)),
        (single, None) if is_single(single) => Ok(()),
        (other, None) => Err(format!("{name} is not a value that can be text: its type is {other}; write it as text")),
    }
}

fn is_single(column: &DataType) -> bool {
    let nested =
        item(column).is_some() || matches!(column, DataType::Struct(_) | DataType::Map(..) | DataType::Union(..));
    let bytes = matches!(
        column,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_)
    );
    match column {
        DataType::Dictionary(_, values) => is_single(values),
        _ => !nested && (bytes || can_cast_types(column, &DataType::Utf8)),
    }
}
