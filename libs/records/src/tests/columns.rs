//! Parquet files.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray,
    FixedSizeBinaryArray, FixedSizeListArray, Float32Array, Float64Array, Int32Array, Int32Builder, Int64Array,
    LargeStringArray, ListArray, MapBuilder, NullArray, RecordBatch, StringArray, StringBuilder, StringViewArray,
    StructArray, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
    UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field as Column, Fields, Int32Type};
use parquet::arrow::ArrowWriter;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;

use super::*;

fn parquet() -> Layout {
    layout(RawFormat::Parquet)
}

fn write_with(columns: Vec<(&str, ArrayRef)>, properties: WriterProperties) -> Vec<u8> {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, values)| (name, values, true)));
    let batch = batch.unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn write(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    write_with(columns, WriterProperties::default())
}

fn strings(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn ids() -> Vec<u8> {
    write(vec![("a", strings(&[Some("x"), Some(" "), None])), ("c", strings(&[Some("1"), None, Some(" y ")]))])
}

#[test]
fn rows_are_numbered_and_blank_values_missing() {
    let seen = outcomes(&parquet(), &ids());
    assert_eq!(seen, [(1, 1, row(&["x", ""])), (2, 1, malformed("a is missing")), (3, 1, malformed("a is missing"))]);
    let fields = ["a", "c"].map(Field::optional);
    let (seen, found) = records(&parquet(), &fields, &ids()).unwrap();
    assert_eq!(seen[2].values, row(&["", "y"]));
    assert_eq!(seen[0].content, b"x\t1");
    assert_eq!(found, [true, true]);
    let (seen, found) = records(&parquet(), &["z"].map(Field::optional), &ids()).unwrap();
    assert_eq!((seen.len(), found), (3, vec![false]));
    let error = failure(&parquet(), &[Field::required("doc")], &ids());
    assert!(error.contains("expected a column `doc`, found `a`, `c`"), "{error}");
}

#[test]
fn values_of_every_type_become_text() {
    let time = TimestampMillisecondArray::from(vec![1_300_000_000_123]);
    let micro = TimestampMicrosecondArray::from(vec![1_300_000_000_000_001]).with_timezone("+02:00");
    let nano = TimestampNanosecondArray::from(vec![1_300_000_000_000_000_001]);
    let decimals = Decimal128Array::from(vec![-1250]).with_precision_and_scale(9, 2).unwrap();
    let whole = Decimal128Array::from(vec![12_345_678_901_234_567_890]).with_precision_and_scale(30, 0).unwrap();
    let dictionary: DictionaryArray<Int32Type> = vec!["x"].into_iter().collect();
    let columns: Vec<(ArrayRef, &str)> = vec![
        (Arc::new(time.clone()), "2011-03-13T07:06:40.123"),
        (Arc::new(time.clone().with_timezone("UTC")), "2011-03-13T07:06:40.123Z"),
        (Arc::new(time.with_timezone("Europe/Paris")), "2011-03-13T07:06:40.123Z"),
        (Arc::new(micro), "2011-03-13T07:06:40.000001Z"),
        (Arc::new(nano.with_timezone("UTC")), "2011-03-13T07:06:40.000000001Z"),
        (Arc::new(TimestampSecondArray::from(vec![0]).with_timezone("UTC")), "1970-01-01T00:00:00Z"),
        (Arc::new(Date32Array::from(vec![19_000])), "2022-01-08"),
        (Arc::new(BooleanArray::from(vec![true])), "true"),
        (Arc::new(Int64Array::from(vec![i64::MIN])), "-9223372036854775808"),
        (Arc::new(UInt64Array::from(vec![u64::MAX])), "18446744073709551615"),
        (Arc::new(Float64Array::from(vec![2.0])), "2.0"),
        (Arc::new(Float64Array::from(vec![-0.0])), "0.0"),
        (Arc::new(Float64Array::from(vec![9_007_199_254_740_991.0])), "9007199254740991.0"),
        (Arc::new(Float64Array::from(vec![1e22])), "10000000000000000000000.0"),
        (Arc::new(Float64Array::from(vec![1.5e-7])), "0.00000015"),
        (Arc::new(Float64Array::from(vec![f64::NAN])), ""),
        (Arc::new(Float64Array::from(vec![f64::NEG_INFINITY])), ""),
        (Arc::new(Float32Array::from(vec![0.1])), "0.1"),
        (Arc::new(Float32Array::from(vec![12345.0])), "12345.0"),
        (Arc::new(decimals), "-12.50"),
        (Arc::new(whole), "12345678901234567890"),
        (Arc::new(dictionary), "x"),
        (Arc::new(StringViewArray::from(vec!["x"])), "x"),
        (Arc::new(LargeStringArray::from(vec!["x"])), "x"),
        (Arc::new(BinaryArray::from(vec!["é".as_bytes()])), "é"),
        (Arc::new(BinaryViewArray::from(vec![&b"x"[..]])), "x"),
        (Arc::new(FixedSizeBinaryArray::try_from_iter([b"xy"].into_iter()).unwrap()), "xy"),
        (Arc::new(NullArray::new(1)), ""),
    ];
    for (array, expected) in columns {
        let kind = array.data_type().clone();
        assert_eq!(
            values(&parquet(), &[Field::optional("v")], &write(vec![("v", array)])),
            [row(&[expected])],
            "{kind}"
        );
    }
    let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![Some(&b"\xff"[..]), None, Some(b"x")]));
    let expected = [Err(Reason::Binary("invalid UTF-8")), row(&[""]), row(&["x"])];
    assert_eq!(values(&parquet(), &[Field::optional("v")], &write(vec![("v", bytes)])), expected);
    // Like the year 300,000 in seconds that are milliseconds.
    let late: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX / 2, 0]));
    let expected = [malformed("v has a value that cannot be text"), row(&["1970-01-01T00:00:00"])];
    assert_eq!(values(&parquet(), &[Field::optional("v")], &write(vec![("v", late)])), expected);
}

/// A record `d` of `id` and `inner.x`; the second row has no `d`.
fn nested() -> Vec<u8> {
    let inner_fields = Fields::from(vec![Column::new("x", DataType::Utf8, true)]);
    let inner = StructArray::new(inner_fields.clone(), vec![strings(&[Some("1"), Some("2"), None])], None);
    let id = strings(&[Some("i"), Some("j"), Some("k")]);
    let inner_column = Column::new("inner", DataType::Struct(inner_fields), true);
    let fields = Fields::from(vec![Column::new("id", DataType::Utf8, true), inner_column]);
    let d = StructArray::new(fields, vec![id, Arc::new(inner)], Some(vec![true, false, true].into()));
    write(vec![("d", Arc::new(d)), ("d.id", strings(&[Some("own"), None, None])), ("e", strings(&[None, None, None]))])
}

#[test]
fn paths_lead_into_records() {
    let fields = ["d.inner.x", "d.id", "e"].map(Field::optional);
    let expected = [row(&["1", "own", ""]), row(&["", "", ""]), row(&["", "", ""])];
    assert_eq!(values(&parquet(), &fields, &nested()), expected);
    let error = failure(&parquet(), &[Field::optional("d")], &nested());
    assert!(error.contains("`d` is a record, not a single value; name one of its fields, such as `d.id`"), "{error}");
    let error = failure(&parquet(), &[Field::required("d.inner.y")], &nested());
    assert!(error.contains("expected a column `d.inner.y`, found `d.id`, `d.inner.x`, `d.id`, `e`"), "{error}");
    let (_, found) = records(&parquet(), &["e.x", "d.x", "d.inner.x"].map(Field::optional), &nested()).unwrap();
    assert_eq!(found, [false, false, true]);
}

#[test]
fn lists_are_refused_joined_or_given() {
    let items = Int32Array::from(vec![Some(1), None, Some(3)]);
    let item = Arc::new(Column::new("element", DataType::Int32, true));
    let offsets = OffsetBuffer::new(vec![0, 2, 2, 2, 3].into());
    let present = Some(vec![true, true, false, true].into());
    let list: ArrayRef = Arc::new(ListArray::new(item.clone(), offsets, Arc::new(items), present));
    let bytes = write(vec![("a", list.clone())]);
    let fields = [Lists::Joined, Lists::Items].map(|lists| Field::optional("a").with_lists(lists));
    let list_of = |items: &[&'static str]| Value::Items(items.iter().map(|item| Cow::Borrowed(*item)).collect());
    let expected = [
        Ok(vec![text("1"), list_of(&["1", ""])]),
        Ok(vec![text(""), list_of(&[])]),
        Ok(vec![text(""), text("")]),
        Ok(vec![text("3"), list_of(&["3"])]),
    ];
    assert_eq!(values(&parquet(), &fields, &bytes), expected);
    let large = arrow::compute::cast(&list, &DataType::LargeList(item)).unwrap();
    assert_eq!(values(&parquet(), &fields, &write(vec![("a", large)])), expected);
    let fixed = FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None])], 2);
    assert_eq!(values(&parquet(), &fields, &write(vec![("a", Arc::new(fixed))])), expected[..1]);
    let error = failure(&parquet(), &ab(), &bytes);
    assert!(error.ends_with("x: a is not a single value: it is a list"), "{error}");
    let error = failure(&parquet(), &[Field::optional("a.b")], &bytes);
    assert!(error.contains("a.b is not a single value: `a` is a list"), "{error}");
}

#[test]
fn maps_are_refused() {
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    map.keys().append_value("k");
    map.values().append_value(1);
    map.append(true).unwrap();
    let error = failure(&parquet(), &ab(), &write(vec![("a", Arc::new(map.finish()))]));
    assert!(error.contains("a is not a single value: it is a map"), "{error}");
}

#[test]
fn every_codec_is_read() {
    for codec in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ] {
        let properties = WriterProperties::builder().set_compression(codec).build();
        let bytes = write_with(vec![("a", strings(&[Some("x"); 100]))], properties);
        assert_eq!(outcomes(&parquet(), &bytes).len(), 100, "{codec:?}");
    }
}

#[test]
fn long_groups_are_cut_and_rows_stay_in_order() {
    let groups =
        WriterProperties::builder().set_max_row_group_row_count(Some(70_000)).set_dictionary_enabled(false).build();
    let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(0..150_000));
    let (_dir, file) = file_of(&write_with(vec![("a", numbers)], groups));
    for (bytes, blocks_expected) in [(1 << 30, 5), (16_000, 150_000 / 3_200)] {
        let mut blocks = Blocks::open(&file, &parquet(), &ab()).unwrap();
        let mut count = 0;
        let mut row = 0;
        while let Some(block) = blocks.next(bytes).unwrap() {
            count += 1;
            block
                .visit::<Error>(&mut |record| {
                    row += 1;
                    assert_eq!(record.line, row);
                    assert_eq!(record.values.as_ref().unwrap()[0].text(), Some((row - 1).to_string().as_str()));
                    Ok(())
                })
                .unwrap();
        }
        assert_eq!(row, 150_000);
        assert!(count >= blocks_expected, "{count}");
    }
}

#[test]
fn unusable_files_are_named() {
    assert!(failure(&parquet(), &ab(), b"PAR1PAR1").contains("expected a readable Parquet file"));
    let empty = write(vec![("a", strings(&[]))]);
    assert!(failure(&parquet(), &ab(), &empty).contains("expected records, found none"));
    let (_dir, file) = file_of(&empty);
    assert!(is_empty(&file).unwrap());
    let (_dir, file) = file_of(&ids());
    assert!(!is_empty(&file).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damage_is_bad_input_or_unnoticed(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = ids();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let (_dir, file) = file_of(&bytes);
        if let Err(error) = read_blocks(&file, &parquet(), &ab(), 100) {
            prop_assert!(error.is_bad_input(), "{error:?}");
        }
    }
}
