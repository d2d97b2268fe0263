//! CSV files: a row of numbers is one input. A first line of words without any number is a heading; values
//! are parted by commas, semicolons or tabs, whichever the first line has.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::Path;

use csv::StringRecord;
use gazelle_model::samples::NpyTensor;

/// Values of one row at most.
const MAX_COLUMNS: usize = 1 << 20;
/// Bytes of one row at most.
const MAX_ROW: u64 = 1 << 25;

/// The rows of one file, read one at a time.
pub(crate) struct CsvTable<R> {
    reader: R,
    delimiter: u8,
    /// Names of the columns, if the file has them.
    heading: Vec<String>,
    /// Of the first row that was read, for all others.
    columns: Option<usize>,
    /// Lines that were read.
    line: u64,
    ended: bool,
}

impl CsvTable<BufReader<File>> {
    /// Opens a file and reads its heading, if it has one.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        Self::new(BufReader::new(File::open(path).map_err(|error| error.to_string())?))
    }

    /// How many rows it has, up to `limit`: lines that are not empty.
    pub(crate) fn count(mut self, limit: usize) -> Result<usize, String> {
        let mut count = 0;
        while count < limit && self.line()?.is_some() {
            count += 1;
        }
        Ok(count)
    }
}

impl<R: BufRead + Seek> CsvTable<R> {
    fn new(reader: R) -> Result<Self, String> {
        let mut table = Self {
            reader,
            delimiter: b',',
            heading: Vec::new(),
            columns: None,
            line: 0,
            ended: false,
        };
        let Some(first) = table.line()? else { return Err("a table without rows".into()) };
        let delimiters = [b'\t', b';', b','];
        let found = delimiters.into_iter().find(|delimiter| first.as_bytes().contains(delimiter));
        table.delimiter = found.unwrap_or(b',');
        let cells = table.cells(&first)?;
        let number = |cell: &str| cell.trim().parse::<f32>().is_ok();
        let named = cells.iter().any(|cell| cell.contains(char::is_alphabetic));
        if !named || cells.iter().any(number) {
            table.reader.rewind().map_err(|error| error.to_string())?;
            table.line = 0;
        } else {
            table.heading = cells.iter().map(|cell| cell.trim().to_owned()).collect();
        }
        Ok(table)
    }

    /// The next line that is not empty.
    fn line(&mut self) -> Result<Option<String>, String> {
        loop {
            let mut bytes = Vec::new();
            let got = self.reader.by_ref().take(MAX_ROW + 1).read_until(b'\n', &mut bytes);
            let got = got.map_err(|error| error.to_string())? as u64;
            self.line += 1;
            if got == 0 {
                return Ok(None);
            }
            if got > MAX_ROW {
                return Err(format!("line {}: more than {MAX_ROW} bytes", self.line));
            }
            let text = String::from_utf8(bytes)
                .map_err(|_| format!("line {}: not UTF-8 text", self.line))?;
            // Some programs begin a file with a byte-order mark.
            let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\n', '\r']);
            if !text.trim().is_empty() {
                return Ok(Some(text.to_owned()));
            }
        }
    }

    fn cells(&self, line: &str) -> Result<StringRecord, String> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .delimiter(self.delimiter)
            .from_reader(line.as_bytes());
        let mut record = StringRecord::new();
        reader.read_record(&mut record).map_err(|error| format!("line {}: {error}", self.line))?;
        if record.len() > MAX_COLUMNS {
            return Err(format!("line {}: more than {MAX_COLUMNS} columns", self.line));
        }
        Ok(record)
    }

    /// A column for people: its number from 1, and its name.
    fn column(&self, index: usize) -> String {
        match self.heading.get(index) {
            Some(name) => format!("column {} ({name:?})", index + 1),
            None => format!("column {}", index + 1),
        }
    }

    fn row(&mut self, line: &str) -> Result<NpyTensor, String> {
        let cells = self.cells(line)?;
        let wanted = if self.heading.is_empty() { self.columns } else { Some(self.heading.len()) };
        if let Some(wanted) = wanted.filter(|wanted| *wanted != cells.len()) {
            let first = if self.heading.is_empty() { "the first row" } else { "the heading" };
            return Err(format!(
                "line {} has {} columns, {first} {wanted}",
                self.line,
                cells.len()
            ));
        }
        let mut values = Vec::with_capacity(cells.len());
        for (index, cell) in cells.iter().enumerate() {
            let value: Option<f32> =
                cell.trim().parse().ok().filter(|value: &f32| value.is_finite());
            values.push(value.ok_or_else(|| {
                format!("line {}, {}: {cell:?} is no finite number", self.line, self.column(index))
            })?);
        }
        self.columns = Some(values.len());
        Ok(NpyTensor { shape: vec![values.len() as u64], values })
    }
}

impl<R: BufRead + Seek> Iterator for CsvTable<R> {
    type Item = Result<NpyTensor, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.line() {
            Ok(Some(line)) => Some(self.row(&line)),
            Ok(None) => None,
            Err(why) => {
                // What follows has no place of its own.
                self.ended = true;
                Some(Err(why))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn rows(text: &str) -> Vec<Result<Vec<f32>, String>> {
        let table = CsvTable::new(Cursor::new(text)).unwrap();
        table.map(|row| row.map(|row| row.values)).collect()
    }

    #[test]
    fn known_answer_a_row_is_an_input_with_or_without_a_heading() {
        let wanted = vec![Ok(vec![1.0, 2.5]), Ok(vec![-3.0, 4e-3])];
        for text in [
            "1,2.5\n-3, 4e-3\n",
            "age,\"weight, kg\"\n1,2.5\r\n-3,4e-3",
            "\u{feff}age;weight\n\n1;2.5\n-3;4e-3\n\n",
            "age\tweight\n1\t2.5\n-3\t0.004\n",
            "\"1\",\"2.5\"\n-3,.004",
        ] {
            assert_eq!(rows(text), wanted, "{text:?}");
        }
        assert_eq!(rows("x\n7\n"), [Ok(vec![7.0])]);
    }

    #[test]
    fn adversarial_bad_cells_are_named_by_line_and_column_and_the_others_go_on() {
        let found = rows("age,weight\n1,heavy\n2,\n3,4,5\n6,7\nnan,1\n1,1e99\n");
        let why = |index: usize| found[index].as_ref().unwrap_err().as_str();
        assert_eq!(why(0), "line 2, column 2 (\"weight\"): \"heavy\" is no finite number");
        assert_eq!(why(1), "line 3, column 2 (\"weight\"): \"\" is no finite number");
        assert_eq!(why(2), "line 4 has 3 columns, the heading 2");
        assert_eq!(found[3], Ok(vec![6.0, 7.0]));
        assert!(why(4).starts_with("line 6, column 1") && why(5).starts_with("line 7, column 2"));
        // A decimal comma is no number, and half a heading is none.
        assert!(rows("1,5;2,5\n")[0].as_ref().unwrap_err().contains("column 1: \"1,5\""));
        assert!(rows("1,x\n2,3\n")[0].as_ref().unwrap_err().contains("line 1, column 2: \"x\""));
        assert!(rows("1,2\n3\n")[1].as_ref().unwrap_err().contains("the first row 2"));
        assert!(CsvTable::new(Cursor::new("\n\n")).is_err());
        assert!(CsvTable::new(Cursor::new(&[0xff, 0xfe][..])).is_err());
    }
}
