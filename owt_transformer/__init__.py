__version__ = "0.1.0"

import os
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')    # set before torch is imported: where cores are shared, threads that spin while they wait cost several times the speed
