"""Runs inside the environment of one huggingface_hub version: `python hf_client.py COMMAND JSON`, answers JSON on its last line.
Only the client's public functions are used, so that its own code reads, writes and deletes its own layout."""
import json
import os
import sys
import urllib.request


def _plain_transfer_for_xet():
    """The xet transfer is a native library that speaks to a storage service this machine does not reach. Its one job, bring these bytes
    to that file, is done over HTTP here; the publication into the shared blob store is left to the client."""
    import huggingface_hub.file_download as module

    def xet_get(*, incomplete_path, xet_file_data, headers, expected_size=None, **_):
        url = os.environ["XET_BYTES_FROM"] + xet_file_data.file_hash
        with urllib.request.urlopen(url) as answer, open(incomplete_path, "wb") as file:
            file.write(answer.read())

    module.xet_get = xet_get


def version(_):
    import huggingface_hub
    return huggingface_hub.__version__


def snapshot(options):
    from huggingface_hub import snapshot_download
    return snapshot_download(options["repo"], revision=options.get("revision"), cache_dir=options.get("cache_dir"), local_dir=options.get("local_dir"))


def download(options):
    from huggingface_hub import hf_hub_download
    return hf_hub_download(options["repo"], options["file"], cache_dir=options.get("cache_dir"), local_dir=options.get("local_dir"))


def cached(options):
    from huggingface_hub import try_to_load_from_cache
    found = try_to_load_from_cache(options["repo"], options["file"], cache_dir=options["cache_dir"], revision=options.get("revision"))
    return found if isinstance(found, str) else None


def scan(options):
    from huggingface_hub import scan_cache_dir
    info = scan_cache_dir(options["cache_dir"])
    return {
        "warnings": [str(warning) for warning in info.warnings],
        "size": info.size_on_disk,
        "repos": {repo.repo_id: {"size": repo.size_on_disk, "revisions": {
            revision.commit_hash: sorted([file.file_name, file.size_on_disk, str(file.blob_path)] for file in revision.files)
            for revision in repo.revisions}} for repo in info.repos},
    }


def tree(options):
    from huggingface_hub import HfApi
    return [entry.path for entry in HfApi().list_repo_tree(options["repo"], recursive=True)]


def info(options):
    from huggingface_hub import HfApi
    return HfApi().model_info(options["repo"], revision=options.get("revision"), files_metadata=True).sha


def refs(options):
    from huggingface_hub import HfApi
    found = HfApi().list_repo_refs(options["repo"])
    return sorted(ref.name for ref in found.branches + found.tags)


def attempt(options):
    """Another command that may fail: the name of the error's class, or "fine"."""
    try:
        globals()[options.pop("what")](options)
    except Exception as error:
        return type(error).__name__
    return "fine"


def delete_revisions(options):
    from huggingface_hub import scan_cache_dir
    strategy = scan_cache_dir(options["cache_dir"]).delete_revisions(*options["revisions"])
    expected = strategy.expected_freed_size
    strategy.execute()
    return expected


def main():
    command, options = sys.argv[1], json.loads(sys.argv[2])
    if os.environ.get("XET_BYTES_FROM"):
        _plain_transfer_for_xet()
    print("\n" + json.dumps(globals()[command](options)))


if __name__ == "__main__":
    main()
