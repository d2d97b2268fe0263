//! The files that a batch leaves: a table, a page.

use gazelle::Offer;
use gazelle_input::Notice;

use crate::arguments::Infer;
use crate::failure::Failure;
use crate::link;
use crate::output::{Object, Summary};
use crate::report::{AnswerPage, AnswerTable, ReportedSession, is_standard_output};

/// What the command line asks for.
pub(super) struct AnswerFiles {
    table: Option<AnswerTable>,
    page: Option<AnswerPage>,
}

impl AnswerFiles {
    /// Begins the files: what cannot be written is known before a server hears of us.
    pub(super) fn create(command: &Infer) -> Result<Self, Failure> {
        let table_shown = command.csv.as_deref().is_some_and(is_standard_output);
        if command.json && table_shown {
            return Err(Failure::Run("--json and --csv - both want standard output".into()));
        }
        Ok(Self {
            table: command.csv.as_deref().map(AnswerTable::create).transpose()?,
            page: command.html.as_deref().map(AnswerPage::create).transpose()?,
        })
    }

    /// Writes what comes before the answers.
    pub(super) fn begin(&mut self, command: &Infer, offer: &Offer) -> Result<(), Failure> {
        let Some(page) = &mut self.page else { return Ok(()) };
        page.begin(&ReportedSession {
            server: &command.link_layer.server,
            digest: offer.digest(),
            description: offer.description(),
            secured: link::is_secured(&command.link_layer)?,
        })
    }

    /// Whether thumbnails are wanted.
    pub(super) fn want_pictures(&self) -> bool {
        self.page.is_some()
    }

    pub(super) fn add(
        &mut self,
        object: &Object<'_>,
        thumbnail: Option<&[u8]>,
        notices: &[Notice],
    ) -> Result<(), Failure> {
        if let Some(table) = &mut self.table {
            table.add(object)?;
        }
        self.page.as_mut().map_or(Ok(()), |page| page.add(object, thumbnail, notices))
    }

    /// An input that gave no answer.
    pub(super) fn failed(&mut self, failure: &Failure) -> Result<(), Failure> {
        self.page.as_mut().map_or(Ok(()), |page| page.failed(failure))
    }

    /// Writes what comes behind the answers: `failed` of `all` inputs have none.
    pub(super) fn end(self, summary: &Summary, counts: (usize, usize)) -> Result<(), Failure> {
        self.page.map_or(Ok(()), |page| page.end(summary, counts))
    }
}

/// Whether standard output is for programs: JSON or a table, nothing else there.
pub(super) fn programs_read(command: &Infer) -> bool {
    command.json || command.csv.as_deref().is_some_and(is_standard_output)
}
