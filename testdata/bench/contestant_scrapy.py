"""Crawls one case with Scrapy: a job as JSON on standard input, a result as JSON on standard output.

Everything that costs time and is not asked for is off: logging, the telnet console, cookies, robots.txt.
"""

import json
import resource
import sys
import time
from urllib.parse import urlsplit

import scrapy
from scrapy.crawler import CrawlerProcess
from scrapy.resolver import dnscache

SLOW_SHARE = 10

job = json.load(sys.stdin)
result = {"version": scrapy.__version__, "pages": 0, "bytes": 0, "items": 0, "item_sum": 0}


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_rss():
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def item_hash(title, price):
    """FNV-1a of both with a zero byte between them, as in child.go."""
    value = 2166136261
    for byte in b"\0".join((title.encode(), price.encode())):
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return value


def count(response):
    result["pages"] += 1
    result["bytes"] += len(response.body)


class Bench(scrapy.Spider):
    name = "bench"

    @classmethod
    def from_crawler(cls, crawler, *args, **kwargs):
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider.opened, signal=scrapy.signals.spider_opened)
        crawler.signals.connect(spider.scraped, signal=scrapy.signals.item_scraped)
        return spider

    def opened(self):
        result["cpu"] = cpu()

    def scraped(self, item):
        result["items"] += 1
        result["item_sum"] += item_hash(item["title"], item["price"])

    def closed(self, reason):
        result["ended"] = time.time_ns()
        result["cpu"] = cpu() - result["cpu"]
        result["peak_rss"] = peak_rss()

    def parse(self, response):
        count(response)


class Flat(Bench):
    async def start(self):
        for page in range(job["n"]):
            yield scrapy.Request(f"http://{job['addr']}/p/{page}")


class Follow(Bench):
    async def start(self):
        yield scrapy.Request(f"http://{job['addr']}/p/0")

    def parse(self, response):
        count(response)
        yield {
            "title": response.css("h1::text").get("").strip(),
            "price": response.css("p.price::text").get("").strip(),
        }
        yield from response.follow_all(css="a[href]")


class Pictures(Bench):
    custom_settings = {
        "ITEM_PIPELINES": {"scrapy.pipelines.images.ImagesPipeline": 100},
        "IMAGES_STORE": job["folder"] + "/pictures",
        "IMAGES_THUMBS": {"small": (50, 50), "big": (270, 270)},
    }

    async def start(self):
        yield scrapy.Request(f"http://{job['addr']}/p/0")

    def parse(self, response):
        count(response)
        for thing in response.css("li.thing"):
            yield {
                "title": thing.css("h2::text").get(),
                "price": thing.css("p.price::text").get(),
                "image_urls": [response.urljoin(thing.css("img::attr(src)").get())],
            }
        yield from response.follow_all(css="a.next")

    def scraped(self, item):
        for _ in item["images"]:
            result["pages"] += 1
            super().scraped(item)


class Slow(Bench):
    async def start(self):
        for page in range(job["n"]):
            yield scrapy.Request(f"http://a.localhost:{PORT}/p/{page}")
            if page % SLOW_SHARE == SLOW_SHARE - 1:
                yield scrapy.Request(f"http://b.localhost:{PORT}/p/{page // SLOW_SHARE}")


HOST, PORT = urlsplit("//" + job["addr"]).hostname, urlsplit("//" + job["addr"]).port
dnscache["a.localhost"] = dnscache["b.localhost"] = HOST

process = CrawlerProcess(
    {
        "CONCURRENT_REQUESTS": job["concurrency"],
        "CONCURRENT_REQUESTS_PER_DOMAIN": job["per_host"],
        "SCHEDULER_PRIORITY_QUEUE": "scrapy.pqueues.DownloaderAwarePriorityQueue",
        "DOWNLOAD_DELAY": 0,
        "LOG_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "COOKIES_ENABLED": False,
        "ROBOTSTXT_OBEY": False,
    }
)
process.crawl({"flat": Flat, "follow": Follow, "slow": Slow, "pictures": Pictures}[job["case"]])
process.start()
json.dump(result, sys.stdout)
