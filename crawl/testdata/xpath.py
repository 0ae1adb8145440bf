"""Writes xpath.json: what lxml (libxml2) makes of several thousand expressions, which TestXPathLikeLxml holds ours to.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install lxml && /tmp/venv/bin/python xpath.py > xpath.json

The pages are such that an XML parser and an HTML parser make the same tree of them. Nodes are written as the places of all that they stand in among
their siblings, texts and comments included: "/0/1@id". Left out on purpose is what lxml does otherwise than the recommendation says: exponents in
numbers, fifteen digits, what it makes of the document's node.
"""

import json
import math
import random
import sys

from lxml import etree

random.seed(6)


def table(name, rows):
    return f'<table id="{name}"><tbody><tr><th>h</th><th>i</th></tr>' + "".join(
        f'<tr class="{"r" if i % 3 else "r odd"}"><td>{i}</td><td><a href="/p/{i}?q={i % 4}">n {i}</a></td><td>{i / 4}</td></tr>' for i in range(rows)) + "</tbody></table>"


def page(body, head=""):
    return f"<html><head><title>t</title>{head}</head><body>{body}</body></html>"


def grow(depth):
    """A random page of nested elements."""
    out = []
    for _ in range(random.randint(1, 4)):
        match random.randint(0, 5):
            case 0:
                if not out or out[-1].endswith(">"):
                    out.append(random.choice(["one", "two", " 3 ", "4.5", "-1", "x y", "é漢"]))
            case 1:
                out.append(f"<!--{random.choice(['c', ' d '])}-->")
            case _:
                name = random.choice(["div", "span", "b", "i", "section"])
                attrs = "".join(f' {a}="{random.choice(["1", "2", "a", "a b", "10", ""])}"' for a in ["class", "id", "title"] if random.random() < 0.4)
                out.append(f"<{name}{attrs}>{grow(depth - 1) if depth and random.random() < 0.8 else random.choice(['', 'one', '2'])}</{name}>")
    return "".join(out)


HTML = [
    page(table("a", 4) + table("b", 3)),
    page('<ul id="u"><li x="1">a</li><li>b<b>B</b></li><li x="1">c</li><li x="2">d</li></ul><ul id="v"><li>e</li><li x="1">f</li></ul>'
         "<div><div><div><p>1</p></div><p>2</p></div><p>3</p></div><s>x<i>y</i>z</s><u>1</u><u>2.5</u><q title=\"1\"></q>"),
    page('<div class="x"><p class="a">one <b>two</b> three</p><!--c--><p class="a b">two</p></div><div class="x y"><span> 4 </span><span>5</span></div>'
         '<p id="last">x<br/>y<br/>z</p>', '<meta name="k" content="v"/>'),
    page("<div>" * 12 + "<span>x</span><span>y</span>" + "</div>" * 12),
    page("<div><section><div><b>1</b></div><b>2</b></section><b>3</b></div><div><b>4</b><section><b>5</b><div><b>6</b></div></section></div>"),
    page('<p>1</p><p>é漢字</p><p>  a  b </p><p></p><p>-7</p><p> 12 </p><p>1.5.2</p><p>.5</p><p>5.</p><p>+1</p><p>a-b-c</p>'),
] + [page("<div>" + grow(4) + "</div>") for _ in range(3)]
XML = [
    '<shop xmlns:g="urn:g" xmlns:m="urn:m"><item id="1" g:k="v"><title>A</title><g:price>1.50</g:price><m:content url="/a"/></item><item id="2" xml:lang="en-GB">'
    '<title>B</title><g:price>20</g:price><g:sale>10</g:sale></item><item id="3" xml:lang="de"><title>C &amp; D</title><note><![CDATA[<x>]]></note></item></shop>',
    '<r><a><a><a><x n="1"/></a><x n="2"/></a><x n="3"/></a><a><x n="4"/><a><x n="5"/></a></a><x n="6"/></r>',
    '<n><v>1</v><v>2</v><v>3</v><v>1</v><w>3</w><w>5</w><e/><o><v>2</v><v>9</v></o></n>',
]
SPACES = {"g": "urn:g", "m": "urn:m"}

WRITTEN = """
//table//tr[@class='r'][1] | //table//tr[@class='r'][last()] | //tr[td and position()>1] | //tr[td][position()=2]/td[1] | //li[@x][1] | //li[@x and position()=1]
//li[position()>1][position()<3] | //li[.='d']/preceding-sibling::li[last()] | //li[.='d']/preceding-sibling::li[1] | //p[.='1']/ancestor::div[last()]
(//p/ancestor::div)[1] | //p/preceding::li[1] | //p/preceding::li[last()] | (//li)[last()] | (//li)[3]/@x | //ul/li[2]/b | /descendant::li[5] | //ul/descendant::li[2]
//div/descendant::p[1] | //li[last()=2] | //li[position()=last()-1] | //li[last()-1] | //td | //a | //td/.. | //a/ancestor::tr | //a/ancestor::*[2] | //b/ancestor::div[1]
//b/ancestor::*[position()<3] | //section//b | //div//b | //div/b | //div//section/b | //div//div | //div/div/div | //div/section | //div//b[1] | //div//b[last()] | //b[1] | //b[2]
//div[last()] | //div[1] | //div[div]/b | //*[self::div or self::b][2] | //span/text() | //p/text()[2] | //p/node()[1] | //comment() | //node() | //text() | //@* | //@class
//@class/.. | //*[@class][@id] | //*[@class='a' or @id='1'] | //*[not(@*)] | //*[count(@*)=2] | //a[contains(@href,'q=1')]/text() | //a[starts-with(@href,'/p/2')]
//tr/td[2]/a/@href | //tr[position() mod 2 = 1]/td[1] | //td[.>2] | //td[. = 1] | //td[1][.=2]/following-sibling::td[2] | //tr[td[.=2]]/following-sibling::tr[1]/td[1]
//tr[not(td)] | //tr[not(following-sibling::tr)] | //tr[count(preceding-sibling::tr)=2] | //tr[count(td)>2][last()] | //table[2]//tr[2] | //table//tr[2] | //table[count(.//tr)>4]/@id
//li[preceding-sibling::li[1]='a'] | //li[@x=//q/@title] | //li[@x!=//q/@title] | //x/@n[.>2] | //x[@n>3] | //a/x | //a//x | //a//x[1] | //a/a/x | //x[1] | //a[1] | //a[last()]
//a[x]/a | //x/ancestor::a[1]/x | //x/ancestor::a[last()]/x | //x/preceding::x[1] | //x/following::x[1] | //x/following::x[last()] | //x/preceding::x[last()] | //v[.=//w] | //v[.!=//w]
//v[.<//w] | //v[.>=//w] | //v[.>../v[1]] | //o/v[.=preceding::v] | //v[last()]/preceding-sibling::*[2] | //v[position()=2 or position()=last()] | //w[.>//v] | //*[.='3']
//item[g:price>5]/title | //g:* | //g:price | //@g:k | //@g:* | //m:content/@url | //item[@id=2]/g:*[1] | //*[local-name()='price'] | //*[namespace-uri()='urn:g'] | //*[name()='g:price']
//item[lang('en')] | //title[lang('de')] | //item/@xml:lang | //note/text() | //item[last()]/preceding-sibling::item[1]/@id | /shop/item[2] | /*/*[3] | /* | /html/body/* | //body/*[2]
.//li | ./* | . | .. | ../.. | self::* | self::li | ancestor::* | ancestor-or-self::*[1] | ancestor-or-self::* | preceding-sibling::*[1] | following-sibling::* | following::*[1] | preceding::*[1]
preceding::* | following::* | following::text() | preceding::text()[1] | descendant::text() | descendant-or-self::node() | descendant-or-self::*[2] | child::node()[last()] | @* | .//@* | //*[@id]/@id
*[last()] | *[1]/.. | */*[1] | */* | .//*[1] | .//*[last()] | ../*[2] | ../../*/* | //*/*/..  | //*/../* | //*/ancestor::* | //*/following-sibling::*[1] | //*/preceding-sibling::*[2]
//*/following::*[1] | //*/preceding::*[1] | //*/following-sibling::* | //*/preceding-sibling::* | //*/following::* | //*/preceding::* | //*/ancestor-or-self::*[2] | //*/descendant::*[1]
//*/descendant::*[last()] | //*/child::*[last()] | //*/parent::* | //*/descendant-or-self::*[3] | //*/self::*[1] | (//*)[5] | (//*)[position()<4] | (//*)[last()]/.. | (//b|//i)[2]
(//div)[2]//b | (//div|//section)/b[1] | //div[.//b]//b | (//*/..)[2] | //*[position()=2][@class] | //*[@class][position()=2] | //*[last()][@class] | //*[@class][last()]
""".replace("\n", " | ")
VALUES = """count(//li);count(//*);count(//@*);count(//node());count(//text());sum(//v);sum(//u);sum(//nothing);string(//li);string(//nothing);string(/);name(//*[2]);name(//@*);local-name(//g:price);
namespace-uri(//g:price);name(//g:price);concat(//li[1],'-',//li[2]);normalize-space(//p);normalize-space();string();string-length();string-length('é漢字');substring('12345',2,3);substring('12345',1.5,2.6);
substring('12345',0,3);substring('12345',0 div 0,3);substring('12345',1,0 div 0);substring('12345',-42,1 div 0);substring('12345',-1 div 0,1 div 0);substring('12345',2);substring('é漢字x',2,2);
substring-before('1999/04/01','/');substring-after('1999/04/01','/');substring-after('a','b');substring-before('a','b');substring-after('a','');translate('bar','abc','AB');translate('--aaa--','abc-','ABC');
translate('aa','aa','bc');contains('abc','');contains('','a');contains(//p,'o');starts-with('abc','ab');boolean(//li);boolean(0);boolean('');boolean('0');not(//li);not(0);number('  12 ');number('x');number('');
number('-.5');number('1.');number('1 2');number('+1');number(true());number(//p);floor(-1.5);floor(2.6);ceiling(1.2);ceiling(-1.2);round(2.5);round(-2.5);round(-1.6);round(2.4);1 div 0;-1 div 0;0 div 0;
5 mod 2;5 mod -2;-5 mod 2;-5 mod -2;1.5 mod 0.5;2+3*4;(2+3)*4;2 - 1 - 1;12 div 4 div 3;--2;-(-2);- - -2;1=1;1!=1;'a'='a';'1'=1;1='1.0';true()=1;true()='x';false()='';1<2;2<=2;'2'>1;'a'<'b';1<2<3;3>2>1;
1=2=false();//li='c';//li!='c';'c'=//li;//li=//li;//nothing=//nothing;//nothing!=1;//v=3;//v>8;//v<1;//v<=1;9<=//v;//v=//w;//v!=//w;//v<//w;//v>//w;//w<=//v;//w>=//v;//v=true();//nothing=false();//nothing=true();
//v>true();//v<true();//nothing<true();true()>//nothing;1 or 0;1 and 0;'' or //li;true() and not(false());1 or 1 div 0;count(//li[@x]);count(//li[1]/following-sibling::li);count(//td[.//a]);string(//td[2]/a/@href);
count(//b/ancestor::div);count(//b/ancestor::*);count((//b|//i)/..);count(//*[count(*)>1]);count(//*[*[2]]);sum(//td[1]);number(//td[3]);string(//comment());count(//comment());count(/);count(/..);count(//*/..);
string(number('x'));string(1 div 0);string(-1 div 0);string(1.0);string(-0);string(0.5);string(100000);string(true());string(false());concat(1,true(),'x');count(id('u'));count(id('u v'));
name(id(//ul/@id));boolean(//*[@id='a']);string(//*[@id='last']/text()[last()]);string(//x[last()]/@n);sum(//x/@n);sum(//x[1]/@n);sum(//a//x[1]/@n);sum(//g:price);count(//item[g:sale]);string(//item[2]/@xml:lang);
lang('en');count(//*[lang('en')]);count(//v[.=following::v]);count(//v[.=preceding::v]);count(//v[not(.=preceding::v)])""".replace("\n", "").split(";")

AXES = ["child", "descendant", "descendant-or-self", "parent", "ancestor", "ancestor-or-self", "following", "following-sibling", "preceding", "preceding-sibling", "self"]


def test(names):
    return random.choice([random.choice(names), random.choice(names), "*", "node()", "text()"])


def pred(names, depth):
    inner = lambda: path(names, depth - 1, False)
    match random.randint(0, 13 if depth else 8):
        case 0 | 1: return f"[{random.randint(1, 3)}]"
        case 2: return "[last()]"
        case 3: return f"[position(){random.choice(['<', '>', '=', '!=', '<=', '>='])}{random.randint(1, 3)}]"
        case 4: return f"[@{random.choice(['class', 'id', 'x', 'n', 'title'])}]"
        case 5: return f"[@{random.choice(['class', 'id', 'x', 'n'])}='{random.choice(['1', '2', 'a', 'r'])}']"
        case 6: return random.choice(["[last()-1]", "[position() mod 2 = 0]", "[position()=last()]", "[last()>1]", "[last()=2]"])
        case 7: return f"[.{random.choice(['=', '<', '>', '!='])}{random.randint(1, 5)}]"
        case 8: return f"[@class and position()={random.randint(1, 2)}]"
        case 9 | 10: return f"[{inner()}]"
        case 11: return f"[not({inner()})]"
        case 12: return f"[count({inner()}){random.choice(['=', '>', '<'])}{random.randint(0, 3)}]"
        case _: return f"[{inner()}{random.choice(['=', '!=', '<', '>='])}{inner()}]"


def step(names, depth):
    s = random.choice(AXES) + "::" + test(names) if random.random() < 0.5 else random.choice([test(names), test(names), ".", "..", "@*", "@class"])
    if s not in (".", ".."):
        while random.random() < 0.4:
            s += pred(names, depth)
    return s


def path(names, depth=1, top=True):
    p = random.choice(["", ".//", "//", "//"] if top else ["", "", ".//", "//"]) + step(names, depth)
    for _ in range(random.choice([0, 0, 1, 1, 2, 3] if top else [0, 0, 1])):
        p += random.choice(["/", "/", "//"]) + step(names, depth)
    if top and random.random() < 0.1:
        p = f"({p}){pred(names, 0)}" + random.choice(["", "/" + step(names, 0)])
    if top and random.random() < 0.15:
        p += " | " + path(names, depth, True)
    return p


def place(el):
    parent = el.getparent()
    if parent is None:
        return "/" + str(len(list(el.itersiblings(preceding=True))))
    at = 1 if parent.text else 0
    for e in parent:
        if e is el:
            return place(parent) + f"/{at}"
        at += 1 + bool(e.tail)


def written(v):
    if isinstance(v, bool):
        return v
    if isinstance(v, float):
        return {"number": repr(v) if math.isfinite(v) else "NaN" if math.isnan(v) else "Infinity" if v > 0 else "-Infinity"}
    if isinstance(v, str):
        return str(v)
    nodes = []
    for n in v:
        if isinstance(n, str):
            parent = n.getparent()
            if n.is_attribute:
                nodes.append(place(parent) + "@" + n.attrname)
            elif n.is_tail:
                head, _, last = place(parent).rpartition("/")
                nodes.append(f"{head}/{int(last) + 1}")
            else:
                nodes.append(place(parent) + "/0")
        else:
            nodes.append(place(n))
    return nodes


def main():
    pages = []
    for kind, body in [("html", b) for b in HTML] + [("xml", b) for b in XML]:
        root = etree.fromstring(body)
        unique = kind == "html" and len(root.xpath("//@id")) == len(set(root.xpath("//@id")))
        if unique:  # libxml2 knows which attributes are ids by a DTD alone
            ids = "".join(f"<!ATTLIST {n} id ID #IMPLIED>" for n in sorted({e.tag for e in root.iter("*")}))
            root = etree.fromstring(f"<!DOCTYPE html [{ids}]>{body}")
        names = sorted({e.tag for e in root.iter("*") if e.tag[0] != "{"})
        everything = root.xpath("//*")
        froms = ["/*", "(//*)[3]", f"(//*)[{len(everything) // 2}]", f"(//*)[{len(everything)}]"]
        asked = {}
        wanted = [w.strip() for w in WRITTEN.split(" | ") if w.strip()] + [w.strip() for w in VALUES]
        wanted += [path(names) for _ in range(220)]
        for i, expr in enumerate(wanted):
            if "id(" in expr and not unique:
                continue
            start = froms[0] if expr.startswith("/") else froms[i % len(froms)]
            try:
                v = root.xpath(start)[0].xpath(expr, namespaces=SPACES)
                got = written(v)
            except etree.XPathEvalError as e:
                print(expr, e, file=sys.stderr)
                continue
            except Exception:  # the document's node, which lxml has no object for
                continue
            if isinstance(got, list) and len(got) > 25:
                continue
            asked.setdefault(start, {})[expr] = got
        pages.append({"kind": kind, "body": body, "from": asked})
    json.dump({"spaces": SPACES, "pages": pages}, sys.stdout, ensure_ascii=False, separators=(",", ":"))
    print()


main()
