//! Syntax of `pattern`: what both ECMA-262 and the `re` module of Python compile, since the schema's readers use either.

/// Maximum depth of groups.
const DEEPEST: usize = 64;
/// Maximum number of digits of a repetition.
const LONGEST_COUNT: usize = 9;

/// True for a pattern that every reader of the schema compiles.
pub(super) fn is_portable(pattern: &str) -> bool {
    let mut reader = Reader { rest: pattern, groups: 0, open: Vec::new(), highest_reference: 0 };
    reader.read().is_some() && reader.open.is_empty() && reader.highest_reference <= reader.groups
}

/// An open group.
struct Group {
    /// True for a lookbehind, whose width must be fixed.
    is_behind: bool,
}

struct Reader<'a> {
    rest: &'a str,
    /// Groups that references can name, so far.
    groups: u32,
    open: Vec<Group>,
    highest_reference: u32,
}

/// A kind of element, by what may follow it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Element {
    Repeatable,
    /// A start, an anchor or a repetition.
    Fixed,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn skip(&mut self, prefix: &str) -> bool {
        let rest = self.rest.strip_prefix(prefix);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Reads the whole pattern; `None` for a fault.
    fn read(&mut self) -> Option<()> {
        let mut before = Element::Fixed;
        while let Some(c) = self.next() {
            let varies = matches!(c, '*' | '+' | '?' | '|');
            if varies && self.open.iter().any(|group| group.is_behind) {
                return None;
            }
            before = match c {
                '^' | '$' | '|' => Element::Fixed,
                '(' => {
                    self.group()?;
                    Element::Fixed
                }
                ')' => {
                    self.open.pop()?;
                    Element::Repeatable
                }
                '[' => {
                    self.class()?;
                    Element::Repeatable
                }
                '\\' => self.escape()?,
                '*' | '+' | '?' => self.repeated(before)?,
                '{' => match self.counts()? {
                    true if self.open.iter().any(|group| group.is_behind) => return None,
                    true => self.repeated(before)?,
                    false => Element::Repeatable,
                },
                _ => Element::Repeatable,
            };
        }
        Some(())
    }

    fn repeated(&mut self, before: Element) -> Option<Element> {
        self.skip("?");
        (before == Element::Repeatable).then_some(Element::Fixed)
    }

    /// Reads a group's opening.
    fn group(&mut self) -> Option<()> {
        let is_behind = self.skip("?<=") || self.skip("?<!");
        let is_silent = is_behind || self.skip("?:") || self.skip("?=") || self.skip("?!");
        if !is_silent {
            if self.rest.starts_with('?') {
                return None;
            }
            self.groups += 1;
        }
        self.open.push(Group { is_behind });
        (self.open.len() <= DEEPEST).then_some(())
    }

    /// Reads what follows a backslash.
    fn escape(&mut self) -> Option<Element> {
        match self.next()? {
            'b' | 'B' => return Some(Element::Fixed),
            'd' | 'D' | 'w' | 'W' | 's' | 'S' | 'n' | 'r' | 't' | 'f' | 'v' => {}
            'x' => self.hexadecimal(2)?,
            'u' => self.hexadecimal(4)?,
            '0' if !self.rest.starts_with(|c: char| c.is_ascii_digit()) => {}
            digit @ '1'..='9' if !self.rest.starts_with(|c: char| c.is_ascii_digit()) => {
                self.highest_reference = self.highest_reference.max(digit.to_digit(10)?);
                // Only groups before it are known to all.
                if self.highest_reference > self.groups {
                    return None;
                }
            }
            c if c.is_ascii_alphanumeric() => return None,
            _ => {}
        }
        Some(Element::Repeatable)
    }

    fn hexadecimal(&mut self, digits: usize) -> Option<()> {
        (0..digits).all(|_| self.next().is_some_and(|c| c.is_ascii_hexdigit())).then_some(())
    }

    /// Reads a class after its bracket.
    fn class(&mut self) -> Option<()> {
        self.skip("^");
        if self.rest.starts_with(']') {
            return None;
        }
        loop {
            let from = match self.next()? {
                ']' => return Some(()),
                c => self.member(c)?,
            };
            if !self.rest.starts_with('-') || self.rest.starts_with("-]") {
                continue;
            }
            self.skip("-");
            let to = self.next()?;
            let to = self.member(to)?;
            if from? > to? {
                return None;
            }
        }
    }

    /// The character that a member of a class means, or none for a class such as `\d`.
    #[expect(clippy::option_option, reason = "a member may be at fault, or mean many characters")]
    fn member(&mut self, c: char) -> Option<Option<char>> {
        if c != '\\' {
            return Some(Some(c));
        }
        let after = self.rest;
        Some(match self.next()? {
            'd' | 'D' | 'w' | 'W' | 's' | 'S' => None,
            'b' => Some('\u{8}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'f' => Some('\u{c}'),
            'v' => Some('\u{b}'),
            '0' if !self.rest.starts_with(|c: char| c.is_ascii_digit()) => Some('\0'),
            kind @ ('x' | 'u') => {
                let digits = if kind == 'x' { 2 } else { 4 };
                self.hexadecimal(digits)?;
                let code = u32::from_str_radix(after.get(1..=digits)?, 16).ok()?;
                // Halves of pairs have no character; their order is that of the private area's end.
                Some(char::from_u32(code).unwrap_or('\u{e000}'))
            }
            c if c.is_ascii_alphanumeric() => return None,
            c => Some(c),
        })
    }

    /// Reads the counts of a repetition, if there are any: a brace can also stand for itself.
    fn counts(&mut self) -> Option<bool> {
        let end = self.rest.find(|c: char| !c.is_ascii_digit() && c != ',');
        let Some((inside, rest)) = end.map(|end| self.rest.split_at(end)) else {
            return Some(false);
        };
        let Some(rest) = rest.strip_prefix('}') else { return Some(false) };
        let (low, high) = inside.split_once(',').unwrap_or((inside, inside));
        let is_count = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if low.is_empty() || !is_count(low) || !is_count(high) {
            return Some(false);
        }
        if low.len() > LONGEST_COUNT || high.len() > LONGEST_COUNT {
            return None;
        }
        let (low, high) = (low.parse::<u32>().ok()?, high.parse::<u32>().unwrap_or(u32::MAX));
        self.rest = rest;
        (low <= high).then_some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_python_and_javascript_compile_are_portable() {
        for good in [
            "",
            "^[a-z]{2,9}$",
            r"^\d{4}-\d{2}$",
            "^(?:a|b)+?$",
            r"(a)\1",
            "a{3}",
            "a{3,}",
            "^{x}$",
            "[^-a]",
            r"[\w.-]+",
            "(?=a)(?!b)(?<=c)(?<!d)e",
            r"[\u0041-\u005a]",
            r"\/\.\-",
            "ü*",
        ] {
            assert!(is_portable(good), "{good}");
        }
    }

    #[test]
    fn patterns_that_one_of_them_refuses_are_not() {
        for bad in [
            "[a-",
            "(",
            ")",
            "*a",
            "a**",
            "a++",
            "^*",
            "(?i)a",
            "(?P<n>a)",
            "(?<n>a)",
            r"\p{L}",
            "a{3,2}",
            "[z-a]",
            r"[\w-.]",
            "\\",
            r"\x1",
            r"\1",
            "[]",
            "[]a",
            "[^]",
            "(?<=a+)b",
            "(?",
            r"\Z",
            "a{99999999999}",
            "(*)",
            "a|*",
        ] {
            assert!(!is_portable(bad), "{bad}");
        }
        assert!(!is_portable(&"(".repeat(100_000)));
    }
}
