"""Tags of languages: names of two and of three letters for the same one (ISO 639-1 and 639-2)."""

from __future__ import annotations

CODES = """
aa aar, ab abk, ae ave, af afr, ak aka, am amh, an arg, ar ara, as asm, av ava, ay aym, az aze, ba bak, be bel,
bg bul, bh bih, bi bis, bm bam, bn ben, bo bod tib, br bre, bs bos, ca cat, ce che, ch cha, co cos, cr cre,
cs ces cze, cu chu, cv chv, cy cym wel, da dan, de deu ger, dv div, dz dzo, ee ewe, el ell gre, en eng, eo epo,
es spa, et est, eu baq eus, fa fas per, ff ful, fi fin, fj fij, fo fao, fr fra fre, fy fry, ga gle, gd gla, gl glg,
gn grn, gu guj, gv glv, ha hau, he heb, hi hin, ho hmo, hr hrv, ht hat, hu hun, hy arm hye, hz her, ia ina, id ind,
ie ile, ig ibo, ii iii, ik ipk, io ido, is ice isl, it ita, iu iku, ja jpn, jv jav, ka geo kat, kg kon, ki kik,
kj kua, kk kaz, kl kal, km khm, kn kan, ko kor, kr kau, ks kas, ku kur, kv kom, kw cor, ky kir, la lat, lb ltz,
lg lug, li lim, ln lin, lo lao, lt lit, lu lub, lv lav, mg mlg, mh mah, mi mao mri, mk mac mkd, ml mal, mn mon,
mr mar, ms may msa, mt mlt, my bur mya, na nau, nb nob, nd nde, ne nep, ng ndo, nl dut nld, nn nno, no nor, nr nbl,
nv nav, ny nya, oc oci, oj oji, om orm, or ori, os oss, pa pan, pi pli, pl pol, ps pus, pt por, qu que, rm roh,
rn run, ro ron rum, ru rus, rw kin, sa san, sc srd, sd snd, se sme, sg sag, si sin, sk slk slo, sl slv, sm smo,
sn sna, so som, sq alb sqi, sr srp, ss ssw, st sot, su sun, sv swe, sw swa, ta tam, te tel, tg tgk, th tha, ti tir,
tk tuk, tl tgl, tn tsn, to ton, tr tur, ts tso, tt tat, tw twi, ty tah, ug uig, uk ukr, ur urd, uz uzb, ve ven,
vi vie, vo vol, wa wln, wo wol, xh xho, yi yid, yo yor, za zha, zh chi zho, zu zul
"""
_SHORT = {long: short for short, *longs in (codes.split() for codes in CODES.split(",")) for long in longs}


def same(tag: str, language: str) -> bool:
    """Whether a file's or stream's tag is this language: ``en``, ``en-US`` and ``eng`` are ``en``; ``en`` is not
    ``en-US``."""
    tag, language = _plain(tag), _plain(language)
    return tag == language or tag.startswith(f"{language}-")


def _plain(tag: str) -> str:
    name, *more = tag.lower().replace("_", "-").split("-")
    return "-".join([_SHORT.get(name, name), *more])
