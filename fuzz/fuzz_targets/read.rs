use records::{Dialect, Error, Field, Layout, Lists, RawFile, RawFormat};

/// Reads `bytes` as a raw file; any outcome but a panic is right.
pub fn read(format: RawFormat, bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("x");
    std::fs::write(&path, bytes).expect("a file of random bytes");
    let file = RawFile { path, name: "x".into() };
    let fields = [Field::required("a"), Field::optional("b.c"), Field::optional("d").with_lists(Lists::Items)];
    let layout = Layout::new(format, &Dialect::default());
    let _ = records::read::<Error>(&file, &layout, &fields, &mut |record| {
        let _ = records::printable(&record.content(), 200);
        Ok(())
    });
}
