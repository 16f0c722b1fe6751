"""No test reaches the keyring of whoever runs it: homes made here keep their keys in files."""

import os

os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
for _name in ("QUIRE_PASSPHRASE", "QUIRE_NEW_PASSPHRASE"):
    os.environ.pop(_name, None)
