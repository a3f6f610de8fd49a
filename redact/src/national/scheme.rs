/// Which number it is, and so how it is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// Argentina: CUIT and CUIL, modulo 11.
    ArCuit,
    /// Austria: Sozialversicherungsnummer, modulo 11; the check digit is the fourth.
    AtSvnr,
    /// Australia: business number, modulo 89.
    AuAbn,
    /// Australia: company number, modulo 10.
    AuAcn,
    /// Australia: Medicare number, modulo 10.
    AuMedicare,
    /// Australia: tax file number, modulo 11.
    AuTfn,
    /// Belgium: rijksregisternummer, 97 less the number modulo 97; a 2 stands before it from 2000 on.
    Be,
    /// Bulgaria: EGN, a date and modulo 11.
    BgEgn,
    /// Bulgaria: number of a foreigner, modulo 10.
    BgLnch,
    /// Brazil: CNPJ, two digits modulo 11.
    BrCnpj,
    /// Brazil: CPF, two digits modulo 11.
    BrCpf,
    /// Canada: social insurance number, the check digit of payment cards over nine digits.
    Ca,
    /// Switzerland: AHV number, the check digit of EAN-13.
    Ch,
    /// Chile: RUT, a digit or K modulo 11.
    Cl,
    /// China: resident identity number, a date and a digit or X (ISO/IEC 7064, MOD 11-2).
    Cn,
    /// Colombia: NIT, modulo 11.
    Co,
    /// Czechia and Slovakia: rodné číslo, a date and divisible by 11.
    Cz,
    /// Germany: tax identification number (ISO/IEC 7064, MOD 11,10), with one digit twice or three times.
    De,
    /// Germany: number of an identity card or passport, weights 7, 3, 1 if the check digit stands behind it.
    DeAusweis,
    /// Germany: Krankenversichertennummer, sums of digits modulo 10.
    DeKvnr,
    /// Germany: Versicherungsnummer of the pension insurance, sums of digits modulo 10.
    DeSvnr,
    /// Denmark: CPR number; without a check since 2007, so a date and four digits.
    Dk,
    /// Denmark: CVR number of a firm, modulo 11.
    DkCvr,
    /// Estonia and Lithuania: isikukood and asmens kodas, a date and modulo 11.
    Ee,
    /// Spain: DNI and NIE, a letter by the number modulo 23.
    Es,
    /// Spain: tax number of a firm, the check digit of payment cards, or its letter.
    EsCif,
    /// Spain: social security number, modulo 97.
    EsNuss,
    /// Finland: henkilötunnus, a character by the number modulo 31.
    Fi,
    /// France: NIR, a key that is 97 less the number modulo 97.
    Fr,
    /// France: numéro fiscal, modulo 511.
    FrSpi,
    /// United Kingdom: NHS number, modulo 11.
    Gb,
    /// United Kingdom: unique taxpayer reference, modulo 11; the check digit is the first.
    GbUtr,
    /// Greece: AFM, modulo 11.
    GrAfm,
    /// Greece: AMKA, a date and the check digit of payment cards.
    GrAmka,
    /// Hong Kong: identity card number, a digit or A modulo 11.
    Hk,
    /// Hungary: adóazonosító jel, modulo 11.
    HuAdo,
    /// Hungary: TAJ number, modulo 10.
    HuTaj,
    /// Indonesia: NIK, a date.
    IdNik,
    /// Indonesia: NPWP, the check digit of payment cards over the first nine digits.
    IdNpwp,
    /// Ireland: PPS number, a letter modulo 23.
    Ie,
    /// India: Aadhaar (Verhoeff).
    In,
    /// India: GSTIN, the check digit of payment cards in base 36.
    InGstin,
    /// Iceland: kennitala, a date and modulo 11.
    Is,
    /// Italy: codice fiscale, a letter over odd and even characters.
    It,
    /// Successor states of Yugoslavia: JMBG and EMŠO, a date and modulo 11.
    Jmbg,
    /// Japan: My Number, modulo 11.
    Jp,
    /// Korea: business registration number, modulo 10.
    KrBrn,
    /// Korea: resident registration number, a date and modulo 11.
    KrRrn,
    /// Kazakhstan: IIN, a date and modulo 11.
    Kz,
    /// Luxembourg: matricule, a date, the check digit of payment cards and Verhoeff's.
    Lu,
    /// Several: the check digit of payment cards, over as many digits as the pattern has.
    Luhn,
    /// Latvia: personas kods, modulo 11.
    Lv,
    /// Moldova: IDNP, weights 7, 3, 1.
    Md,
    /// Several: ISO/IEC 7064, MOD 11,10, over as many digits as the pattern has.
    #[serde(rename = "mod-11-10")]
    Mod1110,
    /// Mexico: CURP, a date and modulo 10.
    MxCurp,
    /// Mexico: RFC of a person, a date and modulo 11.
    MxRfc,
    /// Malaysia: identity number, a date.
    My,
    /// Netherlands: burgerservicenummer, modulo 11.
    Nl,
    /// Norway: fødselsnummer, two digits modulo 11.
    No,
    /// Norway: organisation number, modulo 11.
    NoOrg,
    /// New Zealand: IRD number, modulo 11.
    NzIrd,
    /// New Zealand: NHI number, a digit modulo 11, or a letter modulo 23.
    NzNhi,
    /// Peru: RUC, modulo 11.
    Pe,
    /// Poland: PESEL, a date and weights 1, 3, 7, 9.
    Pl,
    /// Poland: NIP, modulo 11.
    PlNip,
    /// Portugal: number of a Cartão de Cidadão, the check digit of payment cards over letters too.
    PtCc,
    /// Portugal: NIF, modulo 11.
    PtNif,
    /// Romania: CNP, a date and modulo 11.
    RoCnp,
    /// Russia: INN of a person, two digits modulo 11.
    RuInn,
    /// Russia: INN of a firm, modulo 11.
    RuInnFirm,
    /// Russia: SNILS, two digits modulo 101.
    RuSnils,
    /// Sweden: personnummer, the check digit of payment cards over ten digits.
    Se,
    /// Singapore: NRIC and FIN, a letter modulo 11.
    Sg,
    /// Slovenia: davčna številka, modulo 11.
    Si,
    /// Thailand: identity number, modulo 11.
    Th,
    /// Türkiye: T.C. kimlik numarası, two digits modulo 10.
    Tr,
    /// Türkiye: vergi kimlik numarası, powers of two modulo 9.
    TrVkn,
    /// Taiwan: identity number, modulo 10.
    Tw,
    /// Ukraine: RNOKPP, modulo 11.
    Ua,
    /// United States of America: national provider identifier, the check digit of payment cards behind 80840.
    UsNpi,
    /// Uruguay: cédula de identidad, modulo 10.
    UyCi,
    /// Uruguay: RUT, modulo 11.
    UyRut,
    /// South Africa: identity number, a date and the check digit of payment cards.
    Za,
}
