//! The language of the help and of hints: whatever tells a person what to do. Messages, kinds and
//! keys have none: scripts compare them. Reads no environment; `config` does.

/// English unless the locale says Chinese.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Language {
    #[default]
    English,
    Chinese,
}

impl Language {
    /// By a locale's name, of POSIX or of BCP 47: `zh_CN.UTF-8`, `zh-Hans`.
    pub(crate) fn of_locale(name: &str) -> Self {
        let language = name.split(['_', '-', '.', '@']).next();
        if language.is_some_and(|language| language.eq_ignore_ascii_case("zh")) {
            Self::Chinese
        } else {
            Self::English
        }
    }

    /// Of two that say the same, the one to show.
    pub(crate) fn pick<T>(self, english: T, chinese: T) -> T {
        match self {
            Self::English => english,
            Self::Chinese => chinese,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chinese_locale_is_chinese_and_no_other() {
        for name in ["zh", "zh_CN.UTF-8", "zh_TW", "zh-Hans", "ZH_cn", "zh.utf8"] {
            assert_eq!(Language::of_locale(name), Language::Chinese, "{name}");
        }
        for name in ["", "C", "C.UTF-8", "POSIX", "en_US.UTF-8", "za_CN", "zhx"] {
            assert_eq!(Language::of_locale(name), Language::English, "{name}");
        }
    }
}
