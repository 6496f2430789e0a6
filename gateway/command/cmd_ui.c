/*
 * cmd_ui: MLflow's wheel, as pip brings it, without the rest of it.
 *
 * The UI is built by MLflow's makers and ships in their wheel on PyPI; it is not part of this program. pip
 * downloads the one wheel that version and SHA-256 name, installs nothing, and the files below
 * mlflow/server/js/build are unpacked beside the folder and renamed to it, so that a folder is there
 * whole or not at all. One that is there is not touched. The mirror is pip's (PIP_INDEX_URL).
 *
 * Python does it, for it has pip, HTTPS and zip; nothing of it is needed to serve.
 */
#include "gateway/command/cmd_ui.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/version.h"

#define WHEEL_SHA256 "4e44c03791beb518d8b0a40b0982d958c2634d902f46d67d7907c82107f21fac"

static char script[] =
    "import glob, os, shutil, subprocess, sys, tempfile, zipfile\n"
    "version, digest, folder = sys.argv[1], sys.argv[2], os.path.abspath(sys.argv[3])\n"
    "inner = 'mlflow/server/js/build/'\n"
    "if os.path.lexists(folder):\n"
    "    sys.exit(f'sluice: {folder} is there already; remove it, or name another')\n"
    "os.makedirs(os.path.dirname(folder), exist_ok=True)\n"
    "with tempfile.TemporaryDirectory(dir=os.path.dirname(folder), prefix='.ui-fetch-') as temp:\n"
    "    wanted = os.path.join(temp, 'wheel.txt')\n"
    "    with open(wanted, 'w') as f:\n"
    "        f.write(f'mlflow=={version} --hash=sha256:{digest}\\n')\n"
    "    got = subprocess.run([sys.executable, '-m', 'pip', 'download', '-q', '--no-deps',\n"
    "                          '--disable-pip-version-check', '--only-binary', ':all:',\n"
    "                          '--require-hashes', '-r', wanted, '-d', temp])\n"
    "    if got.returncode:\n"
    "        sys.exit('sluice: pip has not brought the wheel of mlflow ' + version)\n"
    "    with zipfile.ZipFile(glob.glob(os.path.join(temp, '*.whl'))[0]) as wheel:\n"
    "        names = [n for n in wheel.namelist() if n.startswith(inner)]\n"
    "        wheel.extractall(temp, names)\n"
    "    made = os.path.join(temp, *inner.split('/')[:-1])\n"
    "    os.chmod(made, 0o755)\n"
    "    os.rename(made, folder)\n"
    "print(f'{len(names)} files of MLflow {version} are in {folder}: sluice serve --ui-dir '\n"
    "      f'{folder}')\n";

int cmd_ui_fetch(int count, char **words)
{
    char *argv[] = {(char[]){"python3"},    (char[]){"-c"}, script, (char[]){MLFLOW_VERSION},
                    (char[]){WHEEL_SHA256}, words[0],       NULL};

    if (count != 1) {
        fprintf(stderr, "sluice: ui-fetch: want the folder to make\n");
        return 1;
    }
    execvp(argv[0], argv);
    fprintf(stderr, "sluice: cannot run python3, which has pip: %s\n", strerror(errno));
    return 1;
}
