use proptest::prelude::*;

use super::*;

/// `rows` rows of `cols` numbers of many magnitudes.
fn numbers(rows: usize, cols: usize) -> Vec<f32> {
    let mut rng = ranking::rng::stream(1, "test", 0);
    let mut draw = || rand::Rng::next_u32(&mut rng) as f32 / u32::MAX as f32 - 0.5;
    (0..rows * cols).map(|_| draw() * 2f32.powf(40.0 * draw())).collect()
}

/// The panels of at most [`TASK_ROWS`] rows, number by number: the upper or lower halves of pairs.
fn expected<const W: usize>(matrix: &Matrix<'_>, first: usize, depth: &Range<usize>, pairs: usize) -> Vec<[u32; W]> {
    let rows = first..matrix.rows.min(first + TASK_ROWS);
    let mut panels = vec![[0; W]; rows.len().div_ceil(W) * pairs];
    for row in rows {
        for (place, col) in depth.clone().enumerate() {
            let number = round(matrix.data[row * matrix.row_stride + col * matrix.col_stride]);
            let to = &mut panels[(row - first) / W * pairs + place / 2][(row - first) % W];
            *to |= if place % 2 == 0 { number >> 16 } else { number };
        }
    }
    panels
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn panels_hold_what_they_should(
        rows in 1usize..150,
        cols in 1usize..90,
        turned: bool,
        start in 0usize..40,
        end in 1usize..90,
    ) {
        let data = numbers(rows, cols);
        let matrix = if turned { Matrix::new(&data, rows).t() } else { Matrix::new(&data, cols) };
        let start = start.min(cols - 1);
        let (first, depth) = (rows / 3, start..end.clamp(start + 1, cols));
        let pairs = depth.len().div_ceil(2) + 3;

        let of_rows = expected::<12>(&matrix, first, &depth, pairs);
        let mut panels = vec![[0; 12]; of_rows.len()];
        matrix.pack(first, depth.clone(), pairs, &mut panels);
        prop_assert_eq!(&panels, &of_rows);
        let of_columns = expected::<32>(&matrix, first, &depth, pairs);
        let mut panels = vec![[0; 32]; of_columns.len()];
        matrix.pack(first, depth.clone(), pairs, &mut panels);
        prop_assert_eq!(&panels, &of_columns);
        let mut portable = vec![[0; 32]; of_columns.len()];
        if turned {
            matrix.pack_columns(first, &depth, pairs, &mut portable);
        } else {
            matrix.pack_rows_turned(first, &depth, pairs, &mut portable);
        }
        prop_assert_eq!(&portable, &of_columns);

        if !turned {
            let mut rows = vec![0; (rows - first).min(50) * pairs];
            matrix.pack_pairs(first, depth.clone(), pairs, &mut rows);
            for (row, line) in rows.chunks_exact(pairs).enumerate() {
                for (place, &found) in line.iter().enumerate() {
                    prop_assert_eq!(found, of_rows[row / 12 * pairs + place][row % 12]);
                }
            }
        }

        let width = 2 * pairs;
        let mut lines = vec![0; (rows - first).min(50) * width];
        matrix.pack_lines(first, depth.clone(), width, &mut lines);
        for (row, line) in (first..).zip(lines.chunks_exact(width)) {
            for (place, &found) in line.iter().enumerate() {
                let number = depth.clone().nth(place).map_or(0, |col| {
                    round(matrix.data[row * matrix.row_stride + col * matrix.col_stride]) >> 16
                });
                prop_assert_eq!(u32::from(found), number);
            }
        }
    }
}

#[test]
fn ties_and_what_is_not_finite_are_packed_as_rounding_says() {
    let mut data = [1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, -3.0e38, f32::MAX, f32::NAN, f32::INFINITY, -0.0].repeat(40);
    data[9] = f32::from_bits(0x7f80_0001);
    for matrix in [Matrix::new(&data, 40), Matrix::new(&data, 40).t()] {
        let depth = 0..matrix.cols;
        let expected = expected::<12>(&matrix, 0, &depth, depth.len().div_ceil(2));
        let mut panels = vec![[0; 12]; expected.len()];
        matrix.pack(0, depth.clone(), depth.len().div_ceil(2), &mut panels);
        assert_eq!(panels, expected);
    }
}

#[test]
fn rounding_is_to_the_nearest_even() {
    let rounded = |x: f32| f32::from_bits(round(x));
    assert_eq!(rounded(1.0), 1.0);
    // Neighbours of 1 in bf16 are 1/128 apart: halves go to the even one.
    assert_eq!(rounded(1.0 + 1.0 / 256.0), 1.0);
    assert_eq!(rounded(1.0 + 3.0 / 256.0), 1.0 + 2.0 / 128.0);
    assert_eq!(rounded(1.0 + 1.1 / 256.0), 1.0 + 1.0 / 128.0);
    assert_eq!(rounded(-3.0e38), -226.0 / 128.0 * 2f32.powi(127));
    assert_eq!(rounded(f32::MAX), f32::INFINITY);
    assert!(rounded(f32::NAN).is_nan() && rounded(f32::from_bits(0x7f80_0001)).is_nan());
}

/// What the instructions write, by the definition: they are called where the processor has them.
#[test]
fn rows_are_paired_and_turned() {
    for (n, columns) in [(1, 1), (2, 32), (7, 16), (16, 17), (33, 31), (80, 5)] {
        let numbers = numbers(n, COLUMNS);
        let rows: Vec<[f32; COLUMNS]> = numbers.as_chunks().0.to_vec();
        let at = |row: usize, column: usize| rows.get(row).map_or(0.0, |row| row[column]);

        let mut pairs = vec![[7; COLUMNS]; n.div_ceil(2) + 1];
        pair_up(&rows, &mut pairs);
        for (place, found) in pairs[..n.div_ceil(2)].iter().enumerate() {
            let expected: [u32; COLUMNS] =
                std::array::from_fn(|column| pair(at(2 * place, column), at(2 * place + 1, column)));
            assert_eq!(found, &expected);
        }
        assert_eq!(pairs.last(), Some(&[7; COLUMNS]));

        let row_stride = n + 3;
        let mut turned = vec![MaybeUninit::new(7.0); columns * row_stride];
        turn(&rows, &std::array::from_fn(|column| column as f32), columns, &mut turned, row_stride);
        for (index, found) in turned.iter().enumerate() {
            let (column, row) = (index / row_stride, index % row_stride);
            // SAFETY: all were initialised from the start.
            #[allow(unsafe_code)]
            let found = unsafe { found.assume_init() };
            assert_eq!(found, if row < n { at(row, column) * column as f32 } else { 7.0 });
        }
    }
}
