__version__ = "0.1.0"

import os
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')    # set before torch is imported: where cores are shared, threads that spin while they wait cost several times the speed

def run_train():
    "Run `python -m owt_transformer.train`, whose first lines handle signals during the slow imports."
    import runpy
    runpy.run_module('owt_transformer.train', run_name='__main__', alter_sys=True)
