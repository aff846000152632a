"Everything that pip needs to know is in settings.ini; this file only reads it."
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup

here = Path(__file__).parent
parser = ConfigParser(delimiters=['='])
parser.read(here/'settings.ini', encoding='utf-8')
cfg = parser['DEFAULT']

minimum = f'requires-python = ">={cfg["min_python"]}"'
assert minimum in (here/'pyproject.toml').read_text(encoding='utf-8'), f'pyproject.toml lacks {minimum}'

setup(
    name=cfg['lib_name'],
    version=cfg['version'],
    description=cfg['description'],
    long_description=(here/'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    author=cfg['author'],
    author_email=cfg['author_email'],
    url=cfg['git_url'],
    license='Apache-2.0',
    packages=find_packages(include=[cfg['lib_name'], cfg['lib_name']+'.*']),
    install_requires=cfg['requirements'].split(),
    extras_require={k.removesuffix('_requirements'): v.split() for k, v in cfg.items() if k.endswith('_requirements')},
    entry_points={'nbdev': [f"{cfg['lib_name']}={cfg['lib_name']}._modidx:d"],
                  'console_scripts': cfg['console_scripts'].split()},
    zip_safe=False,
)
