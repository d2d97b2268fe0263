//! The equation of an `Einsum`, with every axis named.

/// Letters of all axes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Equation {
    /// Of each operand.
    pub(super) operands: Vec<Vec<char>>,
    /// Of the result.
    pub(super) result: Vec<char>,
}

/// What an ellipsis stands for gets letters of its own, from the last axis to the first.
const UNNAMED: u32 = 0xe000;

impl Equation {
    /// Reads an equation for operands of these ranks; without `->` the result has the axes of the
    /// ellipsis, then the letters that occur once in the order of the alphabet.
    ///
    /// # Errors
    /// What does not fit.
    pub(super) fn parse(text: &str, ranks: &[usize]) -> Result<Self, String> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let (from, to) = match text.split_once("->") {
            Some((from, to)) => (from, Some(to)),
            None => (text.as_str(), None),
        };
        let unfit = || format!("the equation {text:?} does not fit {} operands", ranks.len());
        let mut most = 0;
        let mut operands = Vec::with_capacity(ranks.len());
        for (part, rank) in from.split(',').zip(ranks) {
            let named = part.chars().filter(|c| *c != '.').count();
            let unnamed = rank.checked_sub(named).ok_or_else(unfit)?;
            if unnamed > 0 && !part.contains('.') {
                return Err(unfit());
            }
            most = most.max(unnamed);
            operands.push(letters(part, unnamed)?);
        }
        if from.split(',').count() != ranks.len() {
            return Err(unfit());
        }
        let result = if let Some(to) = to {
            letters(to, most)?
        } else {
            let all = || operands.iter().flatten().copied();
            let once = |c: &char| all().filter(|other| other == c).count() == 1;
            let mut named: Vec<char> = all().filter(|c| c.is_ascii() && once(c)).collect();
            named.sort_unstable();
            let mut result = letters(if from.contains('.') { "..." } else { "" }, most)?;
            result.extend(named);
            result
        };
        Ok(Self { operands, result })
    }
}

/// The letters of one operand, whose ellipsis stands for so many axes.
fn letters(part: &str, unnamed: usize) -> Result<Vec<char>, String> {
    // optional: few operands have an ellipsis
    let (before, behind) = part.split_once("...").unwrap_or((part, ""));
    if before.chars().chain(behind.chars()).any(|c| !c.is_ascii_alphabetic()) {
        return Err(format!("an operand {part:?} of the equation"));
    }
    let own = (0..if part.contains('.') { unnamed } else { 0 }).rev();
    let own: Option<Vec<char>> = own.map(|at| char::from_u32(UNNAMED + at as u32)).collect();
    let own = own.ok_or("too many axes")?;
    Ok(before.chars().chain(own).chain(behind.chars()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer_ellipses_are_aligned_from_the_right() {
        let [one, two] = ['\u{e000}', '\u{e001}'];
        let equation = Equation::parse("...i, oi -> ...o", &[3, 2]).unwrap();
        assert_eq!(equation.operands, [vec![two, one, 'i'], vec!['o', 'i']]);
        assert_eq!(equation.result, [two, one, 'o']);
        let implied = Equation::parse("b...j,jk", &[3, 2]).unwrap();
        assert_eq!(implied.result, [one, 'b', 'k']);
        assert_eq!(Equation::parse("ba", &[2]).unwrap().result, ['a', 'b']);
    }

    #[test]
    fn adversarial_equations_that_do_not_fit_are_refused() {
        for (text, ranks) in [
            ("ij,jk->ik", &[2][..]),
            ("ij->i", &[3]),
            ("ijk->i", &[2]),
            ("i.j->i", &[2]),
            ("1", &[1]),
        ] {
            assert!(Equation::parse(text, ranks).is_err(), "{text}");
        }
    }
}
