package crawl

import (
	"math"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding"
)

// A language is how likely its letters are. What a text is, if nobody says, is what makes its bytes the likeliest: each charset is tried with each language that is
// written in it. The figures are from the translations of free programs, counted for this; beyond ASCII they are all that differs between charsets.
type language struct {
	charsets []charsetOf
	// letters are those beyond ASCII, in lower case, each with how many of a thousand such letters it is.
	letters string
	// common are the characters of a script that has thousands, the commonest first.
	common string
}

// charsetOf is a charset by its name in the Encoding standard, and how much less likely it is than the others.
type charsetOf struct {
	name string
	rare float64
}

var (
	west        = []charsetOf{{"windows-1252", 0}}
	east        = []charsetOf{{"windows-1250", 3}, {"iso-8859-2", 3.5}}
	turkish     = []charsetOf{{"windows-1254", 3}}
	baltic      = []charsetOf{{"windows-1257", 3}}
	cyrillic    = []charsetOf{{"windows-1251", 1}, {"koi8-u", 3}, {"ibm866", 5}, {"iso-8859-5", 5}}
	greek       = []charsetOf{{"windows-1253", 2}, {"iso-8859-7", 2.5}}
	hebrew      = []charsetOf{{"windows-1255", 2}}
	arabic      = []charsetOf{{"windows-1256", 2}}
	thai        = []charsetOf{{"windows-874", 2}}
	japanese    = []charsetOf{{"shift_jis", 1}, {"euc-jp", 1.5}}
	simplified  = []charsetOf{{"gb18030", 1}}
	traditional = []charsetOf{{"big5", 1}}
	korean      = []charsetOf{{"euc-kr", 1}}
)

// languages are read-only.
var languages = []language{
	{charsets: west, letters: "é733 à76 è74 ê59 ô19 î14 ç6 â4 á2 ù2 û1 ï1 í1 ë1 ó1 œ1"},                  // fr
	{charsets: west, letters: "ü527 ä215 ö155 ß56 á6 é5 ā5 í4"},                                          // de
	{charsets: west, letters: "ó364 í117 á114 é107 à94 ú65 è39 ò30 ç28 ñ22 ï12 ü7"},                      // es
	{charsets: west, letters: "è541 à194 ò93 ù69 é37 á12 ì8"},                                            // it
	{charsets: west, letters: "ã304 ç200 á133 í110 é74 ó50 õ42 ú41 ê26 â7 à5 ô3 º3"},                     // pt
	{charsets: west, letters: "ä680 ö204 å108"},                                                          // sv
	{charsets: west, letters: "ø387 å360 æ219 é24"},                                                      // da
	{charsets: west, letters: "é249 ë244 ï153 ó45 á39 ä32 í30 ð23 ö18 š17"},                              // nl
	{charsets: baltic, letters: "ä394 õ298 ü236 ö57 š8 ž5"},                                              // et
	{charsets: east, letters: "ł199 ż150 ą131 ę127 ś123 ó109 ć104 ń37 ź14"},                              // pl
	{charsets: east, letters: "á192 í181 č98 ý86 é84 ž74 ř52 ú49 ť46 š43 ě30 ľ24 ů15 ň7 ó6 ô4 ä4 ĺ2 ď2"}, // cs
	{charsets: east, letters: "á338 é254 í97 ó96 ö70 ő64 ü38 ú24 ű16"},                                   // hu
	{charsets: east, letters: "č445 š258 ž159 ć86 đ42"},                                                  // hr
	{charsets: east, letters: "ă497 ţ188 ş173 î106 â36"},                                                 // ro
	{charsets: turkish, letters: "ı446 ş139 ç136 ü125 ğ90 ö60 á1 â1"},                                    // tr
	{charsets: baltic, letters: "š227 ė198 ų169 į96 ž95 ą95 č53 ū42 ę23"},                                // lt
	{charsets: baltic, letters: "ā332 ē217 ī179 š116 ļ44 ū42 ņ37 ķ15 ž13 ģ5"},                            // lv
	{charsets: cyrillic, letters: "о94 е93 а83 и76 н73 т62 р53 с51 л44 в42 к34 п34 д31 м28 у23 я21 з20 ы20 ь20 й15 б14 ч11 г10 ж9 ф7 ц7 ю6 х6 ш5 щ4 э2 ё2 ъ1"},                                                                        // ru
	{charsets: cyrillic, letters: "а89 о86 н84 и65 е57 в54 т53 р51 і50 к41 с40 л35 д35 п35 у33 м32 з25 я24 б14 ь13 й12 ч12 г11 ж7 ц7 є7 х6 ф6 ю5 ш5 ї3 щ3"},                                                                           // uk
	{charsets: cyrillic, letters: "а167 н77 р50 ы47 к47 і42 е41 л41 с38 д36 т35 в33 я33 п33 о29 м29 ц28 у26 з26 ь21 э17 ў17 ч15 б15 г15 й10 ш8 ф6 х6 ж5 ю5 ё2"},                                                                       // be
	{charsets: cyrillic, letters: "а132 е102 н86 и80 о79 т67 р54 с44 в43 д37 п35 к33 з33 л32 м24 ъ17 я15 б13 у11 ч10 г8 ж8 й8 ф7 ц6 ш5 щ4 х4 ю1"},                                                                                     // bg
	{charsets: cyrillic, letters: "а142 е99 о86 и82 н66 т62 р58 с42 к41 д37 в36 п36 у30 м30 л26 з22 ј20 б15 г12 ч10 њ9 ш8 ц8 ж6 љ3 ф3 ћ2 х2 ђ1 ќ1"},                                                                                   // sr
	{charsets: greek, letters: "α96 ο80 ε74 τ71 ι60 ν60 ρ48 σ48 μ42 η41 π37 κ34 υ31 ς29 λ26 ί26 δ24 γ23 ή20 έ20 ό18 ά18 χ15 ω12 θ11 φ9 ύ9 ώ5 β5 ξ3 ζ3 ψ1"},                                                                            // el
	{charsets: hebrew, letters: "י119 ו103 ת81 ה72 מ65 ל64 ר54 נ45 ש43 א43 ב41 ק33 ד28 פ27 ס26 ע21 ג20 ם19 ח19 כ17 ט17 ן14 צ12 ז7 ך5 ץ5 ף2"},                                                                                          // he
	{charsets: arabic, letters: "ا144 ل116 ي73 م68 ر52 ت48 ة45 و44 ن41 د32 ف31 ع28 ب28 س27 ح20 ق18 ك18 ص15 ج15 أ15 ط14 ه12 خ12 إ9 ش9 غ9 ذ8 ز7 ض6 ّ6 ،6 ى5 ث4 ئ3 ء3 ظ2 ؤ1 ُ1 ً1 ـ1 ِ1 َ1"},                                             // ar
	{charsets: arabic, letters: "ا138 ی106 ن84 ر81 د69 ه62 ت51 و48 م46 ب35 ش29 س29 ک27 ل21 پ18 ف17 ز17 گ15 خ15 ج13 ع12 ق10 ص10 ٔ9 ح8 ط6 چ5 ظ3 آ3 ذ3 غ2 ض2 ،2 ّ1 ث1 ۰1 ئ1"},                                                            // fa
	{charsets: thai, letters: "า60 ร54 อ52 ่50 ก46 ม45 น41 เ40 ้37 ง33 ด31 ั29 ล26 ี26 ต25 ย23 บ23 ิ22 ส22 แ22 ว20 ไ20 ข17 พ17 ท16 ห16 ค15 จ15 ป15 ์14 ื13 ู11 ะ11 ช11 ำ10 ใ9 ุ8 ถ7 ฟ7 โ6 ็6 ซ5 ณ4 ผ4 ภ2 ธ2 ึ2 ษ2 ญ2 ฐ1 ศ1 ฮ1 ๆ1 ฉ1"}, // th
	{charsets: japanese, common: "ーのますしでをンはにルトがイせるスんいたてックフなれシリプきりさタラドデ定ョァとかアあバテジレ数ロブ用ィグセパコサキ使こ行メオエみ名指マ表らくム力合効示要不文ポケうけ列ェ字カ無出設ュ変一ウ失時値中めよだ成ダつ敗ザ正ベ必っも書作対入除込前更実ォ取内在式有存ボユ場動ャモ型関チ読可新終最ソ子間削再語能わ生認ズ明証置え号引ビ外了鍵ど検配ばへ告形見大開接報続番複付同義得上理化警照換以後期ナ現ワペ情制ヘ発含部方性そ切お限目長信全ピ的ネ問準ぎニ空参位下先選算約所致択ガ分び署保標視識共ハ索解囲小加当集追受覧法画"},    // ja
	{charsets: simplified, common: "的用件文不数在无法个有为中是字一时出行使符名定式选标置表项能目到可对输以要或于指和设入将作列包据本录程存错器效分已值示参号进新取类未接如信误被引命除过模序务没型前上令大语支间提果户制了失组动息配建格显后打认位所下同应部重您并库量正败则发密系关码需称必变小查创内空持当开现子索更加记从区版此服多最这须软请含合改理交签换读写删成键否来度它编操者解默图钥只统地证函该启复处会节串结非象回执态告找安第许任段其方而印之略期但移单义外与自获达检档运状通主转工块始生路允口识性限条径相准警次机匹超容每装计代长别经试"},  // zh
	{charsets: traditional, common: "的用檔不定案無在有法式使個數時為字中選目設指是出項一名列入行示輸取要位以件元或可標作到錯資號新本能於錄稱表將誤存如除格動效已分組提程未顯引者結區值符訊語和對令開會合沒更支後所果重版前這鍵大過碼來變建料發預上模失執下請否則間交包立生置您了應參敗內正鑰理啟工記需態被器型類解此讀機印空串從子成寫得移體文進同至小度多非第含物套最加狀並自單換金相只連方路當之告處端與略等庫證找代援回編視徑序傳準系修警裝其任簽該安始期而命統次容關圖刪改規現完明密但併制每主必頭息性服義部像別按整塊載接何束查複檢原索長限轉忽線外"}, // tw
	{charsets: korean, common: "다이니지을에수습는를로하시없자가일스의정합파용서기음사할리트인한은어션않터오있문위대드제그아만으값상해름치옵프작보실함입모력패부표데크전형나식버명경소된행고업키면바설되중요여들열도디구출블변적못세원과거개성호목록라야령료번메동비레환테브잘필조미류렉했장복내단체현타유우재태너무주마화연분간읽당추반러본계십코때와었더커안항또포려최결랜공베임알줄선진절른럼저래속접색페확템능든건퍼칼증았참처준방각백밋초덱검텍매법새생발게끝신카두같찾택널종활링져배클르램닙예렬숫쓰플운영티쓸권산축릴규올병됨삭허것룹역관젝청"},      // ko
}

// marks are the signs that are as likely in one language as in another.
const marks = "\u00a0«»“”‘’„‚–—…·•°©®™€§№‹›²³½¿¡、。，．・：；？！（）「」『』《》〈〉【】～￥　"

// Logarithms of how likely a character is that is not among a language's letters.
const (
	likelyMark     = -5.5
	unlikelyLetter = -8.5
	unlikelySign   = -10
	noText         = -14 // a control character, or none at all
	rareIdeograph  = -10
)

// What a character's neighbours say.
const (
	mixedScripts  = -4   // a Cyrillic letter beside a Latin one
	accentCluster = -2   // accented letters side by side, where most letters have none
	capitalInside = -5   // an upper-case letter behind a lower-case one
	capital       = -1.5 // any other one
	signInside    = -4   // between two letters
)

// model is a language made ready.
type model struct {
	language
	likely map[rune]float64
	latin  bool
}

// models are made when the first page needs them, and read-only from then on.
var models = sync.OnceValue(func() []model {
	all := make([]model, len(languages))
	for i, l := range languages {
		m := model{language: l, likely: make(map[rune]float64), latin: true}
		for _, s := range strings.Fields(l.letters) {
			c, size := utf8.DecodeRuneInString(s)
			n, err := strconv.Atoi(s[size:])
			if err != nil {
				panic(err) // of our own table
			}
			m.likely[c] = math.Log(float64(n) / 1000 * 0.9)
			m.latin = m.latin && unicode.Is(unicode.Latin, c)
		}
		if l.common != "" {
			m.latin = false
			chars := []rune(l.common)
			var sum float64
			for rank := range chars {
				sum += 1 / float64(rank+10)
			}
			for rank, c := range chars {
				m.likely[c] = math.Log(0.75 / sum / float64(rank+10))
			}
		}
		for _, c := range marks {
			m.likely[c] = likelyMark
		}
		all[i] = m
	}
	return all
})

// guess is the charset of a text that does not say it, and is not UTF-8.
func guess(b []byte) encoding.Encoding {
	sample := foreign(b)
	best, most := "windows-1252", math.Inf(-1)
	texts := make(map[string][]rune)
	for _, m := range models() {
		for _, c := range m.charsets {
			text, ok := texts[c.name]
			if !ok {
				e, _ := charset.Lookup(c.name)
				decoded, err := e.NewDecoder().Bytes(sample)
				if err != nil {
					continue
				}
				text = []rune(string(decoded))
				texts[c.name] = text
			}
			if score := m.score(text, most+c.rare) - c.rare; score > most {
				best, most = c.name, score
			}
		}
	}
	enc, _ := lookup(best)
	return enc
}

// foreign is the part of a text that differs between charsets: what is beyond ASCII, with the two bytes before and behind it.
func foreign(b []byte) []byte {
	const (
		enough = 4096
		beside = 2
	)
	var sample []byte
	for i := 0; i < len(b) && len(sample) < enough; i++ {
		if b[i] < 0x80 {
			continue
		}
		start, ascii := max(0, i-beside), 0
		for i++; i < len(b) && ascii < beside && len(sample)+i-start < enough; i++ {
			if ascii++; b[i] >= 0x80 {
				ascii = 0
			}
		}
		sample = append(sample, b[start:i]...)
		sample = append(sample, ' ')
	}
	return sample
}

// score is the logarithm of how likely the language makes a text. It looks no further when that is less than least.
func (m *model) score(text []rune, least float64) float64 {
	var sum float64
	for i, c := range text {
		if c < 0x80 {
			continue
		}
		var before, behind rune = ' ', ' '
		if i > 0 {
			before = text[i-1]
		}
		if i+1 < len(text) {
			behind = text[i+1]
		}
		if sum += m.scoreRune(c, before, behind); sum < least {
			break
		}
	}
	return sum
}

func (m *model) scoreRune(c, before, behind rune) float64 {
	if p, ok := m.likely[c]; ok {
		if unicode.IsLetter(c) {
			return p + m.beside(before, behind)
		}
		if unicode.IsLetter(before) && unicode.IsLetter(behind) && m.common == "" && c != '’' && c != '\u00a0' && !unicode.IsMark(c) {
			return p + signInside
		}
		return p
	}
	switch {
	case c == utf8.RuneError || unicode.IsControl(c) || unicode.Is(unicode.Co, c):
		return noText
	case !unicode.IsLetter(c):
		if unicode.IsLetter(before) && unicode.IsLetter(behind) {
			return unlikelySign + signInside
		}
		return unlikelySign
	case m.common != "":
		return rareIdeograph
	}
	if lower := unicode.ToLower(c); lower != c {
		p, ok := m.likely[lower]
		if !ok {
			p = unlikelyLetter
		}
		if unicode.IsLower(before) {
			p += capitalInside
		}
		return p + capital + m.beside(before, behind)
	}
	return unlikelyLetter + m.beside(before, behind)
}

// beside is what the neighbours of a letter say.
func (m *model) beside(before, behind rune) float64 {
	var p float64
	for _, c := range [...]rune{before, behind} {
		switch {
		case m.common != "" || !unicode.IsLetter(c):
		case m.latin && c >= 0x80:
			p += accentCluster
		case !m.latin && c < 0x80:
			p += mixedScripts
		}
	}
	return p
}
