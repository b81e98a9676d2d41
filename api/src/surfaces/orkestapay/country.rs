//! Countries by their ISO 3166-1 code, and what the replies call them.

/// Every code that ISO 3166-1 has assigned.
const ASSIGNED: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR \
     BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ \
     EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW \
     GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY \
     KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV \
     MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY \
     QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG \
     TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM \
     ZW";

/// What a country calls itself, where the vendor does business; the seed writes `México` for MX.
const NAMES: &[(&str, &str)] = &[
    ("AR", "Argentina"),
    ("BO", "Bolivia"),
    ("BR", "Brasil"),
    ("CA", "Canada"),
    ("CL", "Chile"),
    ("CO", "Colombia"),
    ("CR", "Costa Rica"),
    ("CU", "Cuba"),
    ("DO", "República Dominicana"),
    ("EC", "Ecuador"),
    ("ES", "España"),
    ("GT", "Guatemala"),
    ("HN", "Honduras"),
    ("MX", "México"),
    ("NI", "Nicaragua"),
    ("PA", "Panamá"),
    ("PE", "Perú"),
    ("PR", "Puerto Rico"),
    ("PT", "Portugal"),
    ("PY", "Paraguay"),
    ("SV", "El Salvador"),
    ("US", "United States"),
    ("UY", "Uruguay"),
    ("VE", "Venezuela"),
];

/// Whether ISO 3166-1 has assigned this code.
pub(super) fn is_assigned(code: &str) -> bool {
    code.len() == 2 && ASSIGNED.split(' ').any(|assigned| assigned == code)
}

/// The country's own name, or the code itself where none is known.
pub(super) fn name(code: &str) -> &str {
    NAMES.iter().find(|(known, _)| *known == code).map_or(code, |(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_of_the_standard() {
        let codes: Vec<&str> = ASSIGNED.split(' ').collect();
        assert_eq!(codes.len(), 249);
        assert!(codes.is_sorted_by(|a, b| a < b), "in order, none twice");
        assert!(NAMES.iter().all(|(code, _)| is_assigned(code)));
        for bad in ["", "M", "mx", "MEX", "ZZ", "EU", "A ", "AD AE"] {
            assert!(!is_assigned(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_country_has_its_own_name_or_its_code() {
        assert_eq!((name("MX"), name("JP")), ("México", "JP"));
    }
}
