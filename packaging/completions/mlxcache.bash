# Completions of mlxcache for bash (3.2 or later). Made by: mlxcache completions bash
# shellcheck shell=bash

_mlxcache_words() {
    local word
    COMPREPLY=()
    for word in "$@"; do
        [[ $word == "$cur"* ]] && COMPREPLY+=("$word")
    done
}

# Lines that mlxcache prints. They are foreign text: compared as text, quoted before they are offered.
_mlxcache_from() {
    local line quoted
    COMPREPLY=()
    while IFS= read -r line; do
        [[ $line == "$cur"* ]] || continue
        printf -v quoted '%q' "$line"
        COMPREPLY+=("$quoted")
    done < <(command mlxcache "$@" --quiet 2>/dev/null)
    if declare -F __ltrim_colon_completions >/dev/null; then
        __ltrim_colon_completions "$cur"
    fi
}

_mlxcache_dirs() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("$line")
    done < <(compgen -d -- "$cur")
    compopt -o filenames 2>/dev/null
}

_mlxcache() {
    local cur prev command options i
    cur=${COMP_WORDS[COMP_CWORD]}
    prev=${COMP_WORDS[COMP_CWORD - 1]}
    # A name with a colon is three words to readline; taken together again where bash-completion is there to do it.
    if declare -F _get_comp_words_by_ref >/dev/null; then
        _get_comp_words_by_ref -n : cur prev
    fi
    command=
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            scan | ls | show | dups | du | status | dedup | watch | undo | history | recover | pull | publish | unpublish | rm | restore | gc | prune | pin | unpin | freeze | thaw | mount | vault | verify | repair | doctor | demo | completions | man | help) 
                command=${COMP_WORDS[i]}
                break
                ;;
        esac
    done

    case $command:$prev in
        scan:--root)
            _mlxcache_dirs
            return
            ;;
        scan:--store)
            _mlxcache_words hf-hub hf-local-dir hf-xet ollama lm-studio llama-cpp mlx docker-model-runner ramalama modelscope localai text-generation-webui gpt4all jan foundry-local comfyui automatic1111 invokeai draw-things openai-whisper whisper-cpp torch-hub keras kagglehub tf-hub loose
            return
            ;;
        scan:--min-size)
            _mlxcache_words 1M 10M 100M 1G
            return
            ;;
        ls:--root)
            _mlxcache_dirs
            return
            ;;
        ls:--store)
            _mlxcache_words hf-hub hf-local-dir hf-xet ollama lm-studio llama-cpp mlx docker-model-runner ramalama modelscope localai text-generation-webui gpt4all jan foundry-local comfyui automatic1111 invokeai draw-things openai-whisper whisper-cpp torch-hub keras kagglehub tf-hub loose
            return
            ;;
        show:--root)
            _mlxcache_dirs
            return
            ;;
        show:--store)
            _mlxcache_words hf-hub hf-local-dir hf-xet ollama lm-studio llama-cpp mlx docker-model-runner ramalama modelscope localai text-generation-webui gpt4all jan foundry-local comfyui automatic1111 invokeai draw-things openai-whisper whisper-cpp torch-hub keras kagglehub tf-hub loose
            return
            ;;
        dups:--root)
            _mlxcache_dirs
            return
            ;;
        dups:--store)
            _mlxcache_words hf-hub hf-local-dir hf-xet ollama lm-studio llama-cpp mlx docker-model-runner ramalama modelscope localai text-generation-webui gpt4all jan foundry-local comfyui automatic1111 invokeai draw-things openai-whisper whisper-cpp torch-hub keras kagglehub tf-hub loose
            return
            ;;
        dups:--min-size)
            _mlxcache_words 1M 10M 100M 1G
            return
            ;;
        du:--root)
            _mlxcache_dirs
            return
            ;;
        du:--store)
            _mlxcache_words hf-hub hf-local-dir hf-xet ollama lm-studio llama-cpp mlx docker-model-runner ramalama modelscope localai text-generation-webui gpt4all jan foundry-local comfyui automatic1111 invokeai draw-things openai-whisper whisper-cpp torch-hub keras kagglehub tf-hub loose
            return
            ;;
        status:--root)
            _mlxcache_dirs
            return
            ;;
        dedup:--store)
            _mlxcache_words hf-hub hf-local-dir hf-xet ollama lm-studio llama-cpp mlx docker-model-runner ramalama modelscope localai text-generation-webui gpt4all jan foundry-local comfyui automatic1111 invokeai draw-things openai-whisper whisper-cpp torch-hub keras kagglehub tf-hub loose
            return
            ;;
        dedup:--model)
            _mlxcache_from ls --ids
            return
            ;;
        dedup:--min-size)
            _mlxcache_words 1M 10M 100M 1G
            return
            ;;
        dedup:--method)
            _mlxcache_words auto reflink hardlink symlink
            return
            ;;
        dedup:--root)
            _mlxcache_dirs
            return
            ;;
        watch:--quiet-for)
            _mlxcache_words 1d 7d 30d 60d
            return
            ;;
        watch:--since)
            _mlxcache_words 1d 7d 30d 60d
            return
            ;;
        watch:--min-size)
            _mlxcache_words 1M 10M 100M 1G
            return
            ;;
        watch:--store)
            _mlxcache_words hf-hub hf-local-dir hf-xet ollama lm-studio llama-cpp mlx docker-model-runner ramalama modelscope localai text-generation-webui gpt4all jan foundry-local comfyui automatic1111 invokeai draw-things openai-whisper whisper-cpp torch-hub keras kagglehub tf-hub loose
            return
            ;;
        watch:--method)
            _mlxcache_words auto reflink hardlink symlink
            return
            ;;
        watch:--max-read)
            COMPREPLY=()
            return
            ;;
        watch:--max-cpu)
            COMPREPLY=()
            return
            ;;
        watch:--root)
            _mlxcache_dirs
            return
            ;;
        pull:--to)
            COMPREPLY=()
            return
            ;;
        pull:--include)
            COMPREPLY=()
            return
            ;;
        pull:--exclude)
            COMPREPLY=()
            return
            ;;
        pull:--quant)
            COMPREPLY=()
            return
            ;;
        pull:--root)
            _mlxcache_dirs
            return
            ;;
        publish:--to)
            _mlxcache_words hf-hub hf-local-dir hf-xet ollama lm-studio llama-cpp mlx docker-model-runner ramalama modelscope localai text-generation-webui gpt4all jan foundry-local comfyui automatic1111 invokeai draw-things openai-whisper whisper-cpp torch-hub keras kagglehub tf-hub loose
            return
            ;;
        publish:--as)
            COMPREPLY=()
            return
            ;;
        publish:--root)
            _mlxcache_dirs
            return
            ;;
        unpublish:--from)
            _mlxcache_words hf-hub hf-local-dir hf-xet ollama lm-studio llama-cpp mlx docker-model-runner ramalama modelscope localai text-generation-webui gpt4all jan foundry-local comfyui automatic1111 invokeai draw-things openai-whisper whisper-cpp torch-hub keras kagglehub tf-hub loose
            return
            ;;
        unpublish:--root)
            _mlxcache_dirs
            return
            ;;
        rm:--from)
            _mlxcache_words hf-hub hf-local-dir hf-xet ollama lm-studio llama-cpp mlx docker-model-runner ramalama modelscope localai text-generation-webui gpt4all jan foundry-local comfyui automatic1111 invokeai draw-things openai-whisper whisper-cpp torch-hub keras kagglehub tf-hub loose
            return
            ;;
        rm:--root)
            _mlxcache_dirs
            return
            ;;
        gc:--store)
            _mlxcache_words hf-hub hf-local-dir hf-xet ollama lm-studio llama-cpp mlx docker-model-runner ramalama modelscope localai text-generation-webui gpt4all jan foundry-local comfyui automatic1111 invokeai draw-things openai-whisper whisper-cpp torch-hub keras kagglehub tf-hub loose
            return
            ;;
        gc:--partial-age)
            _mlxcache_words 1d 7d 30d 60d
            return
            ;;
        gc:--trash-age)
            _mlxcache_words 1d 7d 30d 60d
            return
            ;;
        gc:--download-age)
            _mlxcache_words 1d 7d 30d 60d
            return
            ;;
        gc:--root)
            _mlxcache_dirs
            return
            ;;
        prune:--budget)
            _mlxcache_words 1M 10M 100M 1G
            return
            ;;
        prune:--unused)
            _mlxcache_words 1d 7d 30d 60d
            return
            ;;
        prune:--store)
            _mlxcache_words hf-hub hf-local-dir hf-xet ollama lm-studio llama-cpp mlx docker-model-runner ramalama modelscope localai text-generation-webui gpt4all jan foundry-local comfyui automatic1111 invokeai draw-things openai-whisper whisper-cpp torch-hub keras kagglehub tf-hub loose
            return
            ;;
        prune:--root)
            _mlxcache_dirs
            return
            ;;
        freeze:--unused)
            _mlxcache_words 1d 7d 30d 60d
            return
            ;;
        freeze:--store)
            _mlxcache_words hf-hub hf-local-dir hf-xet ollama lm-studio llama-cpp mlx docker-model-runner ramalama modelscope localai text-generation-webui gpt4all jan foundry-local comfyui automatic1111 invokeai draw-things openai-whisper whisper-cpp torch-hub keras kagglehub tf-hub loose
            return
            ;;
        freeze:--vault)
            _mlxcache_dirs
            return
            ;;
        freeze:--root)
            _mlxcache_dirs
            return
            ;;
        thaw:--to)
            COMPREPLY=()
            return
            ;;
        thaw:--vault)
            _mlxcache_dirs
            return
            ;;
        mount:--cache)
            _mlxcache_words 1M 10M 100M 1G
            return
            ;;
        mount:--vault)
            _mlxcache_dirs
            return
            ;;
        vault:--vault)
            _mlxcache_dirs
            return
            ;;
        verify:--store)
            _mlxcache_words hf-hub hf-local-dir hf-xet ollama lm-studio llama-cpp mlx docker-model-runner ramalama modelscope localai text-generation-webui gpt4all jan foundry-local comfyui automatic1111 invokeai draw-things openai-whisper whisper-cpp torch-hub keras kagglehub tf-hub loose
            return
            ;;
        verify:--root)
            _mlxcache_dirs
            return
            ;;
        repair:--root)
            _mlxcache_dirs
            return
            ;;
        doctor:--root)
            _mlxcache_dirs
            return
            ;;
        doctor:--store)
            _mlxcache_words hf-hub hf-local-dir hf-xet ollama lm-studio llama-cpp mlx docker-model-runner ramalama modelscope localai text-generation-webui gpt4all jan foundry-local comfyui automatic1111 invokeai draw-things openai-whisper whisper-cpp torch-hub keras kagglehub tf-hub loose
            return
            ;;
        demo:--at)
            _mlxcache_dirs
            return
            ;;
    esac

    options="--json --yes --quiet --verbose --no-color --help --version"
    case $command in
        scan) options+=" --root --store --min-size" ;;
        ls) options+=" --root --store --ids" ;;
        show) options+=" --root --store" ;;
        dups) options+=" --root --store --min-size" ;;
        du) options+=" --root --store" ;;
        status) options+=" --root" ;;
        dedup) options+=" --apply --store --model --min-size --method --root" ;;
        watch) options+=" --once --dry-run --quiet-for --since --min-size --store --method --max-read --max-cpu --only-on-power --install --uninstall --root" ;;
        history) options+=" --ids" ;;
        pull) options+=" --to --include --exclude --quant --plan --copy --root" ;;
        publish) options+=" --to --as --copy --plan --apply --root" ;;
        unpublish) options+=" --from --apply --now --root" ;;
        rm) options+=" --from --everywhere --apply --now --root" ;;
        restore) options+=" --list" ;;
        gc) options+=" --store --partial-age --trash-age --download-age --apply --now --root" ;;
        prune) options+=" --budget --unused --store --apply --now --root" ;;
        freeze) options+=" --apply --keep --now --unused --store --vault --root" ;;
        thaw) options+=" --to --vault" ;;
        mount) options+=" --unmount --cache --all-users --vault" ;;
        vault) options+=" --vault --apply" ;;
        verify) options+=" --deep --upstream --store --root" ;;
        repair) options+=" --apply --root" ;;
        doctor) options+=" --root --store" ;;
        demo) options+=" --at --keep" ;;
    esac
    if [[ $cur == -* ]]; then
        # shellcheck disable=SC2086 # a list of words
        _mlxcache_words $options
        return
    fi

    case $command in
        '') _mlxcache_words scan ls show dups du status dedup watch undo history recover pull publish unpublish rm restore gc prune pin unpin freeze thaw mount vault verify repair doctor demo completions man help ;;
        ls) COMPREPLY=() ;;
        show) _mlxcache_from ls --ids ;;
        undo) _mlxcache_from history --ids ;;
        pull) COMPREPLY=() ;;
        publish) _mlxcache_from ls --ids ;;
        unpublish) _mlxcache_from ls --ids ;;
        rm) _mlxcache_from ls --ids ;;
        restore) COMPREPLY=() ;;
        pin) _mlxcache_from ls --ids ;;
        unpin) _mlxcache_from ls --ids ;;
        freeze) _mlxcache_from ls --ids ;;
        thaw) COMPREPLY=() ;;
        mount) _mlxcache_dirs ;;
        vault) COMPREPLY=() ;;
        verify) _mlxcache_from ls --ids ;;
        repair) _mlxcache_from ls --ids ;;
        completions) _mlxcache_words bash zsh fish ;;
        man) _mlxcache_words scan ls show dups du status dedup watch undo history recover pull publish unpublish rm restore gc prune pin unpin freeze thaw mount vault verify repair doctor demo completions man help ;;
        help) _mlxcache_words scan ls show dups du status dedup watch undo history recover pull publish unpublish rm restore gc prune pin unpin freeze thaw mount vault verify repair doctor demo completions man help ;;
        *) COMPREPLY=() ;;
    esac
}

complete -F _mlxcache mlxcache
